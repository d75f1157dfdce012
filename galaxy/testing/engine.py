"""A real Galaxy from PyPI wheels: installed once into a cache, started for a test run, stopped again.

Only the standard library is needed. The server is a gunicorn process and a celery worker over sqlite, in a scratch
folder of its own; jobs run on this machine with the virtual environment that holds `segnt` first on their PATH.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

TESTING = Path(__file__).resolve().parent
SUITE = TESTING.parent
PINS = {"server": TESTING / "requirements-server.txt", "checks": TESTING / "requirements-checks.txt"}
ADMIN_KEY = "segnt-tests-bootstrap-key"
USER = "tester@example.org"
TESTER = "test@bx.psu.edu"  # the user that galaxy-tool-test makes; admins see command lines, which tests assert on
START_SECONDS = 900  # 25 s on a machine of its own; minutes on one that is busy
STOP_SECONDS = 30
# The queues that Galaxy's own code sends to.
CELERY_QUEUES = "celery,galaxy.internal,galaxy.external"
JOBS_AT_ONCE = 2
# Memory (GB) that is enough to start PyTorch and not for a long window; twice as much is enough for that.
TIGHT_DATASET, TIGHT_MEMORY = "tight.fa", 1


class EngineError(RuntimeError):
    """Galaxy could not be installed or started."""


def cache_folder() -> Path:
    """Where Galaxy is kept between runs: $SEGNT_CACHE, else ~/.cache/segnt_tools."""
    root = Path(os.environ.get("SEGNT_CACHE") or Path.home() / ".cache" / "segnt_tools")
    digest = hashlib.sha256()
    for name in sorted(PINS):
        digest.update(PINS[name].read_bytes())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest.update(version.encode())
    return root / f"galaxy-{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Installation:
    """Two virtual environments: the server, and planemo with the other checkers (their pins contradict each other)."""

    folder: Path

    @classmethod
    def cached(cls) -> Installation:
        """The installation that belongs to the pins; it may not be there yet."""
        return cls(cache_folder())

    def binary(self, environment: str, name: str) -> str:
        """Path of a program in one of the environments."""
        return str(self.folder / environment / "bin" / name)

    def has(self, environment: str) -> bool:
        """Whether an environment is complete: its marker is written last."""
        return (self.folder / environment / "complete").is_file()

    def require(self, environment: str, log: IO[str]) -> None:
        """Install an environment unless it is there.

        Raises:
            EngineError: pip failed.
        """
        if self.has(environment):
            return
        folder = self.folder / environment
        shutil.rmtree(folder, ignore_errors=True)
        log.write(f"installing Galaxy's {environment} environment into {folder} (once, a few minutes)\n")
        log.flush()
        _checked([sys.executable, "-m", "venv", str(folder)])
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--requirement",
            str(PINS[environment]),
        ]
        _checked(pip)
        (folder / "complete").write_text(PINS[environment].read_text(encoding="utf-8"), encoding="utf-8")


def _checked(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise EngineError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


@dataclass
class Server:
    """A running Galaxy.

    Attributes:
        installation: where its programs are.
        scratch: everything it writes, and a copy of the suite (loading a data table changes its .loc file in place).
        segnt_bin: folder that holds the `segnt` to test.
        slots: cores a job is told to use.
    """

    installation: Installation
    scratch: Path
    segnt_bin: Path
    slots: int = 1
    port: int = field(default_factory=lambda: _free_port())
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _user_key: str = ""

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def suite(self) -> Path:
        """The copy of the suite that the server loads."""
        return self.scratch / "suite"

    @property
    def compiled(self) -> Path:
        """Where jobs keep compiled code, also between runs."""
        return self.installation.folder / "numba"

    def start(self) -> None:
        """Start web server and worker and wait until both answer.

        Raises:
            EngineError: a process ended or does not answer; the message holds the end of its log.
        """
        self._write_configuration()
        self._launch(
            "web",
            [
                self.installation.binary("server", "gunicorn"),
                "galaxy.webapps.galaxy.fast_factory:factory()",
                *("-k", "galaxy.webapps.galaxy.workers.Worker", "-b", f"127.0.0.1:{self.port}"),
                *("--workers=1", "--preload", "--timeout", "300", "--pythonpath", "."),
            ],
        )
        self._launch(
            "worker",
            [
                self.installation.binary("server", "celery"),
                *("--app", "galaxy.celery", "worker", "--concurrency", "1", "--pool", "threads", "--loglevel", "INFO"),
                *("--queues", CELERY_QUEUES),
            ],
        )
        self._wait("web", self._answers)
        self._wait("worker", lambda: "ready." in self.log("worker"))

    def stop(self) -> None:
        """End the processes that start() recorded."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # Each is the leader of a group of its own; whatever is left of it must not hold the port.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def api(
        self, path: str, payload: dict[str, Any] | None = None, method: str | None = None, key: str = ADMIN_KEY
    ) -> Any:
        """The JSON answer of an API call, as administrator or with a user's key."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            data=None if payload is None else json.dumps(payload).encode(),
            headers={"x-api-key": key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def knows(self, tool_id: str) -> bool:
        """Whether a tool or data manager was loaded."""
        try:
            self.api(f"tools/{tool_id}")
        except urllib.error.HTTPError:
            return False
        return True

    def user_key(self) -> str:
        """The API key of a user, who is made once; planemo and uploads refuse the bootstrap key."""
        if not self._user_key:
            user = self.api("users", {"username": "tester", "email": USER, "password": "segnt-tests-1"})
            self._user_key = str(self.api(f"users/{user['id']}/api_key", method="POST"))
        return self._user_key

    def log(self, name: str) -> str:
        """What a process has written so far."""
        path = self.scratch / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _launch(self, name: str, command: list[str]) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GALAXY_", "PYTHON"))}
        environment["GALAXY_CONFIG_FILE"] = str(self.scratch / "galaxy.yml")
        environment["PATH"] = f"{self.installation.folder / 'server' / 'bin'}{os.pathsep}{environment['PATH']}"
        with (self.scratch / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.scratch, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)

    def _wait(self, name: str, ready: Any) -> None:
        limit = time.monotonic() + START_SECONDS
        while not ready():
            ended = [process for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > limit:
                raise EngineError(
                    f"Galaxy's {name} process did not start; the end of its log:\n{self.log(name)[-5000:]}"
                )
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            self.api("version")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def _write_configuration(self) -> None:
        """Galaxy's configuration files, all inside the scratch folder."""
        shutil.copytree(SUITE, self.suite, ignore=shutil.ignore_patterns("__pycache__", "testing"))
        bundled = next(self.installation.folder.glob("server/lib/python*/site-packages/galaxy/tools/bundled"))
        names = ("data", "files", "jobs", "new_files", "templates", "tool_data", "shed_tools")
        data, files, jobs, new_files, templates, tool_data, _ = (self._folder(name) for name in names)
        tools = [bundled / "data_source" / "upload.xml", *tool_files(self.suite)]
        rows = "".join(f'<tool file="{path}"/>' for path in tools)
        self._write("tools.xml", f"<toolbox>{rows}</toolbox>")
        self._write("shed_tools.xml", f'<toolbox tool_path="{self.scratch / "shed_tools"}"/>')
        self._write("shed_tables.xml", "<tables/>")
        self._write("resolvers.xml", "<dependency_resolvers/>")
        self._write("data_managers.xml", self._data_managers())
        self._write("jobs.yml", json.dumps(self._jobs()))
        self._write("destinations.yml", json.dumps(self._destinations()))
        settings = {
            "database_connection": f"sqlite:///{data}/galaxy.sqlite?isolation_level=IMMEDIATE",
            "data_dir": str(data),
            "file_path": str(files),
            "job_working_directory": str(jobs),
            "new_file_path": str(new_files),
            "template_cache_path": str(templates),
            "tool_data_path": str(tool_data),
            "galaxy_data_manager_data_path": str(self._folder("managed_data")),
            "integrated_tool_panel_config": str(self.scratch / "panel.xml"),
            "tool_config_file": str(self.scratch / "tools.xml"),
            "tool_path": str(bundled),
            "shed_tool_config_file": str(self.scratch / "shed_tools.xml"),
            "shed_tool_data_table_config": str(self.scratch / "shed_tables.xml"),
            "data_manager_config_file": str(self.scratch / "data_managers.xml"),
            "tool_data_table_config_path": str(self.suite / "tool_data_table_conf.xml.test"),
            "dependency_resolvers_config_file": str(self.scratch / "resolvers.xml"),
            "conda_auto_init": False,
            "conda_auto_install": False,
            "job_config_file": str(self.scratch / "jobs.yml"),
            "bootstrap_admin_api_key": ADMIN_KEY,
            "admin_users": f"{TESTER},{USER}",
            "allow_local_account_creation": True,
            "allow_path_paste": True,
            "enable_celery_tasks": True,
            "metadata_strategy": "directory_celery",
            "amqp_internal_connection": f"sqlalchemy+sqlite:///{data}/control.sqlite?isolation_level=IMMEDIATE",
            "celery_conf": {
                "broker_url": f"sqlalchemy+sqlite:///{data}/broker.sqlite?isolation_level=IMMEDIATE",
                "result_backend": f"db+sqlite:///{data}/results.sqlite?isolation_level=IMMEDIATE",
            },
            "cleanup_job": "onsuccess",
            "outputs_to_working_directory": True,
            "calculate_dataset_hash": "never",
        }
        # JSON is YAML.
        self._write("galaxy.yml", json.dumps({"galaxy": settings}, indent=1))

    def _jobs(self) -> dict[str, Any]:
        """Jobs go where the shipped rules of TPV send them, which here is this machine whatever they ask for."""
        dispatcher = {
            "runner": "dynamic",
            "type": "python",
            "function": "map_tool_to_destination",
            "rules_module": "tpv.rules",
            "tpv_config_files": [str(self.suite / "tpv_rules.yml"), str(self.scratch / "destinations.yml")],
        }
        return {
            "runners": {"local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": JOBS_AT_ONCE}},
            "execution": {"default": "tpv_dispatcher", "environments": {"tpv_dispatcher": dispatcher}},
        }

    def _destinations(self) -> dict[str, Any]:
        """What an administrator adds to the rules: a default for other tools, and destinations.

        A job may not use more memory than its rule says, as on a cluster; the data segment is what Linux can limit
        without help. A dataset of the name TIGHT_DATASET gets too little at first.
        """
        environment = [
            {"execute": f"export PATH={self.segnt_bin}:$PATH"},
            {"name": "GALAXY_SLOTS", "value": str(self.slots)},
            {"name": "NUMBA_CACHE_DIR", "value": str(self.compiled)},
            {"execute": "ulimit -d {int(mem * 1024 * 1024)}"},
        ]
        tight = {
            "id": "tight",
            "if": f"any(a.dataset and a.dataset.name == '{TIGHT_DATASET}' for a in job.input_datasets)",
            "context": {"segnt_memory": TIGHT_MEMORY},
        }
        return {
            "global": {"default_inherits": "default"},
            "tools": {
                "default": {"abstract": True, "cores": 1, "mem": 8},
                ".*segnt_predict.*": {"rules": [tight]},
            },
            "destinations": {
                "here": {"runner": "local", "max_accepted_gpus": 0, "env": environment},
            },
        }

    def _data_managers(self) -> str:
        """The suite's data manager configuration with an absolute path to the tool."""
        path = self.suite / "data_manager" / "data_manager_conf.xml"
        if not path.exists():
            return "<data_managers/>"
        root = ET.parse(path).getroot()
        for manager in root.iter("data_manager"):
            manager.set("tool_file", str(path.parent / str(manager.get("tool_file"))))
        return ET.tostring(root, encoding="unicode")

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(exist_ok=True)
        return folder

    def _write(self, name: str, text: str) -> None:
        (self.scratch / name).write_text(text, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tool_files(suite: Path = SUITE) -> list[Path]:
    """The wrappers of a suite, data managers apart."""
    return sorted(suite.glob("segnt_*.xml"))


def data_manager_files(suite: Path = SUITE) -> list[Path]:
    """The data managers' tools."""
    return sorted((suite / "data_manager").glob("segnt_*.xml"))


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start a server, and stop it whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()
