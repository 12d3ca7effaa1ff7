"""The steps of a Dockerfile, as many of them as go without an engine.

``python -m tests.deploy.image_steps FILE DIR`` runs them as they stand, with a package index. COPY copies from this
tree, RUN runs with ``/src``, ``/opt`` and ``/native`` inside DIR. What needs root or another root directory
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
    """Run the build stage, and those that it copies from; return the folder that the final stage copies.

    ``path`` is searched for programs first. What is compiled is left out where there is no compiler.
    """
    *others, stage, _ = stages(file)
    for name in ("src", "opt", "native"):
        (directory / name).mkdir(parents=True)
    searched = os.pathsep.join(filter(None, [path, str(Path(sys.executable).parent), os.environ["PATH"]]))
    for other in others if shutil.which("cargo") else ():
        _run(other, directory, searched)
    _run(stage, directory, searched)
    return directory / "opt" / "vectadb"


def _run(stage: Stage, directory: Path, searched: str) -> None:
    ignored = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", "node_modules", "target")
    environment = {name: _inside(value, directory) for name, value in stage.environment.items()}
    (at,) = (Path(_inside(f"{rest}/", directory)) for rest in stage.all("WORKDIR"))
    for name, rest in stage.instructions:
        if name == "COPY" and rest.startswith("--from="):
            source, target = (Path(_inside(word, directory)) for word in rest.split()[1:])
            if source.exists():
                shutil.copy(source, target)
        elif name == "COPY":
            source, target = (Path(word) for word in rest.split())
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, at / target, ignore=ignored, dirs_exist_ok=True)
                shutil.rmtree(at / target / "src/vectadb_server/page", ignore_errors=True)  # built anew
            else:
                shutil.copy(ROOT / source, at / target)
        elif name == "RUN":
            subprocess.run(
                ["bash", "-euc", _inside(rest, directory)],
                cwd=at,
                env={**os.environ, **environment, "PATH": searched},
                check=True,
                timeout=600,
            )


def _inside(text: str, directory: Path) -> str:
    return re.sub(r"(?<![\w.])/(src|opt|native)/", rf"{directory}/\1/", text)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2]).resolve()))
