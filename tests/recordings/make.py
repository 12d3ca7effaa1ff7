"""``make recordings``: make recordings anew with the real frameworks, each in an environment of its own.

``python make.py [framework ...]``, all without an argument. A framework of several versions has a ``generate_<version>.py``
and a ``requirements_<version>.txt`` for each. Needs a package index; takes some minutes and, for CrewAI,
half a gigabyte. Ids, times and tracebacks differ from run to run: what changes otherwise is for a person to look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".venv-recordings"


def main() -> int:
    """Make the recordings of the frameworks named; 1 if one could not be made."""
    known = sorted(path.parent.name for path in HERE.glob("*/generate.py"))
    wanted = sys.argv[1:] or known
    if unknown := sorted(set(wanted) - set(known)):
        print(f"no such framework: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = [name for name in wanted if not made(name)]
    if failed:
        print(f"not made: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def made(name: str) -> bool:
    """Whether a framework's recordings could be made anew, all of them."""
    print(f"{name}:")
    return all(generated(script) for script in sorted((HERE / name).glob("generate*.py")))


def generated(script: Path) -> bool:
    """Whether a generator ran, in an environment of its own."""
    name, version = script.parent.name, script.stem.removeprefix("generate")
    environment, requirements = ENVIRONMENTS / f"{name}{version}", script.with_name(f"requirements{version}.txt")
    python = environment / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    steps: list[list[object]] = []
    if not python.exists():
        steps.append([uv, "venv", "--quiet", "--python", sys.executable, environment])
    if requirements.exists():
        steps.append([uv, "pip", "install", "--quiet", "--python", python, "--requirement", requirements])
    more = {}
    if name == "noise":
        steps.append(["npm", "install", "--silent", "--prefix", environment, "pino"])
        more["PINO"] = str(environment)
    steps.append([python, script])
    for step in steps:
        try:
            done = subprocess.run([str(word) for word in step], env={**os.environ, **more}, check=False)
        except FileNotFoundError as error:
            print(f"  {error.filename} is not installed", file=sys.stderr)
            return False
        if done.returncode != 0:
            return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
