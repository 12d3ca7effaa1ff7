"""The steps of a Dockerfile, as many of them as go without an engine.

``python -m tests.deploy.image_steps FILE DIR`` runs them as they stand, with a package index. COPY copies from this
tree, RUN runs with ``/src`` and ``/opt`` inside DIR. What needs root or another root directory
(useradd) is left out. Environments are made by this Python instead of the base image's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage: its instructions in order, and what was set by them."""

    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The arguments of every instruction of that name."""
        return [rest for instruction, rest in self.instructions if instruction == name]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(word.split("=", 1) for rest in self.all("ENV") for word in shlex.split(rest))


def stages(file: Path) -> list[Stage]:
    """Read a Dockerfile."""
    text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append(Stage())
        if found:
            found[-1].instructions.append((name, rest.strip()))
    return found


def build(file: Path, directory: Path, *, path: str | None = None) -> Path:
    """Run the build stage; return the folder that the final stage copies. ``path`` is searched for programs first."""
    stage = stages(file)[0]
    for name in ("src", "opt"):
        (directory / name).mkdir(parents=True)
    ignored = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", "node_modules")
    environment = {name: _inside(value, directory) for name, value in stage.environment.items()}
    searched = os.pathsep.join(filter(None, [path, str(Path(sys.executable).parent), os.environ["PATH"]]))
    for name, rest in stage.instructions:
        if name == "COPY":
            source, target = (Path(word) for word in rest.split())
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, directory / "src" / target, ignore=ignored)
                shutil.rmtree(directory / "src" / target / "src/vectadb_server/page", ignore_errors=True)  # built anew
            else:
                shutil.copy(ROOT / source, directory / "src" / target)
        elif name == "RUN":
            subprocess.run(
                ["bash", "-euc", _inside(rest, directory)],
                cwd=directory / "src",
                env={**os.environ, **environment, "PATH": searched},
                check=True,
                timeout=600,
            )
    return directory / "opt" / "vectadb"


def _inside(text: str, directory: Path) -> str:
    return re.sub(r"(?<![\w.])/(src|opt)/", rf"{directory}/\1/", text)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2]).resolve()))
