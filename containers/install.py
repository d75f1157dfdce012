"""Install segnt_tools into the virtual environment of an image, in steps that make layers; used by both recipes.

install.py torch SPEC INDEX   PyTorch from an index of its own (nothing if SPEC is empty)
install.py dependencies       what setup.cfg asks for besides PyTorch, at the versions of constraints.txt
install.py package            the package itself; then pip and what only tests need are removed
"""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "-c", "constraints.txt"]


def torch(spec: str, index: str) -> None:
    """PyTorch; its own dependencies come from that index too."""
    if spec:
        subprocess.run([*PIP, "--index-url", index, spec], check=True)


def dependencies() -> None:
    """The requirements of setup.cfg, less PyTorch, which is there or will be mounted."""
    config = configparser.ConfigParser()
    config.read("setup.cfg")
    wanted = [line for line in config["options"]["install_requires"].split("\n") if line]
    subprocess.run([*PIP, *(line for line in wanted if not line.startswith("torch"))], check=True)


def package() -> None:
    """The package without its dependencies; afterwards no installer is left."""
    subprocess.run([*PIP, "--no-deps", "."], check=True)
    site = Path(next(path for path in sys.path if path.endswith("site-packages")))
    # Headers and tests of libraries are for building and testing them; nothing here imports them.
    for folder in [site / "torch" / "include", site / "torch" / "test", *site.glob("*/tests"), *site.glob("*/*/tests")]:
        if folder.parts[-2] != "testing":
            shutil.rmtree(folder, ignore_errors=True)
    for name in ("pip", "setuptools", "pkg_resources", "_distutils_hack"):
        shutil.rmtree(site / name, ignore_errors=True)
    for info in (*site.glob("pip-*.dist-info"), *site.glob("setuptools-*.dist-info")):
        shutil.rmtree(info)
    (site / "distutils-precedence.pth").unlink(missing_ok=True)  # setuptools' own, which would complain at every start
    for script in Path(sys.executable).parent.glob("pip*"):
        script.unlink()


if __name__ == "__main__":
    {"torch": torch, "dependencies": dependencies, "package": package}[sys.argv[1]](*sys.argv[2:])
