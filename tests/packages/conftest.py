"""Every distribution of the tree as a wheel, built once, and environments in which nothing but wheels is installed.

``wheels`` and ``installed`` are shared by all tests and by all of xdist's processes: tests do not change them. A test
that installs or removes something makes an environment of its own by ``new_environment``, which takes a second.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
ROOMS = [path.parent for pattern in ("core", "plugins/*", "server") for path in ROOT.glob(f"{pattern}/pyproject.toml")]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
UV = Path(sys.executable).parent / "uv"


def distribution(room: Path) -> str:
    """Return the name of the distribution in a folder, as wheels spell it: ``vectadb_agent``."""
    line = next(line for line in (room / "pyproject.toml").read_text().splitlines() if line.startswith("name = "))
    return line.split('"')[1].replace("-", "_")


class Environment:
    """A virtual environment; what is in it came from ``wheels``, and the rest from the index by our constraints."""

    def __init__(self, path: Path, wheels: Path) -> None:
        self.path = path
        self.bin = path / "bin"
        self._wheels = wheels

    def wheel(self, name: str, extra: str = "") -> str:
        """Return the wheel of a distribution, as an installer takes it; its index is not asked about our names."""
        (found,) = self._wheels.glob(f"{name.replace('-', '_')}-*.whl")
        return f"{found}[{extra}]" if extra else str(found)

    def install(self, *requirements: str) -> None:
        """Install wheels (see :meth:`wheel`) or what the index has."""
        self._uv("install", "--constraint", str(ROOT / "constraints.txt"), *requirements)

    def uninstall(self, *names: str) -> None:
        """Remove distributions."""
        self._uv("uninstall", *names)

    def run(self, command: str, *arguments: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end, with nothing of this tree in reach."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        env |= {"PATH": f"{self.bin}:{env['PATH']}", **more}
        return subprocess.run(
            [self.bin / command, *arguments],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _uv(self, action: str, *arguments: str) -> None:
        uv(["pip", action, "--quiet", "--python", self.bin / "python", *arguments])


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution: ours, and the examples'."""
    with once(tmp_path_factory, "wheels") as (folder, first):
        if first:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda room: build(room, folder), [*ROOMS, *EXAMPLES]))
    return folder


@pytest.fixture(scope="session")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Every distribution of ours, the examples not: what somebody has who installed agent and server."""
    with once(tmp_path_factory, "installed") as (folder, first):
        if first:
            new(folder, wheels, *map(distribution, ROOMS))
    return Environment(folder, wheels)


@pytest.fixture
def new_environment(wheels: Path, tmp_path: Path) -> Callable[..., Environment]:
    """Return what makes an environment of the test's own, with the distributions that it is given."""
    return lambda *names: new(tmp_path / "environment", wheels, *names)


def new(path: Path, wheels: Path, *names: str) -> Environment:
    """Make an environment with these distributions, ``vectadb-agent[testing]`` for example."""
    uv(["venv", "--quiet", "--python", sys.executable, path])
    environment = Environment(path, wheels)
    environment.install(*(environment.wheel(*name.rstrip("]").split("[")) for name in names))
    return environment


def build(room: Path, folder: Path) -> None:
    """Build a wheel as a release is built, with the build backend that is here: the index need not be asked for it."""
    uv(["build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, room])


def uv(arguments: list[str | Path]) -> None:
    """Run uv; what it says is shown where it fails."""
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"uv {' '.join(map(str, arguments))}:\n{done.stderr}"


@contextmanager
def once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all processes of one test run share, and whether this process is the one to fill it."""
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, not done.exists()
        done.touch()
