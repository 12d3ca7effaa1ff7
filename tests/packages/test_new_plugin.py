"""A newcomer's path: ``plugins new``, then the steps of the README that it has written, word by word.

Nothing is asked of the index, which would take longer than all the rest: the build backend is there beforehand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from vectadb_agent.host import KINDS

from .conftest import Environment, new

if TYPE_CHECKING:
    from pathlib import Path

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # 0: no isolation


@pytest.fixture(scope="module")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What somebody has who installed ``vectadb-agent[testing]``, and what builds their package."""
    made = new(tmp_path_factory.mktemp("newcomer") / "environment", wheels, "vectadb-agent[testing]")
    made.install("pip", "hatchling", "editables")
    return made


def written(environment: Environment, kind: str, parent: Path) -> tuple[Path, str]:
    """A new package, and what was printed."""
    made = environment.run("vectadb-agent", "plugins", "new", f"my-{kind}", "--kind", kind, cwd=parent)
    assert made.returncode == 0, made.stderr
    return parent / f"vectadb-agent-my-{kind}", made.stdout


def test_the_steps_of_the_readme_lead_to_a_plugin_that_is_listed(environment: Environment, tmp_path: Path) -> None:
    package, printed = written(environment, "parser", tmp_path)
    (steps,) = re.findall(r"```\n(.*?)```", (package / "README.md").read_text(), re.DOTALL)
    commands = [line.partition("#")[0].strip() for line in steps.splitlines()]
    assert printed.splitlines()[-1] == f"Next: cd {package.name} && {' && '.join(commands)}"
    (tmp_path / "steps.sh").write_text(f"set -e\ncd {package.name}\n{steps}")
    done = environment.run("/bin/bash", "steps.sh", cwd=tmp_path, **OFFLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert re.search(r"^my_parser +vectadb-agent-my-parser +0\.1\.0 +parsers: my_parser", done.stdout, re.MULTILINE)


def test_every_kind_installs_passes_its_tests_and_is_found(environment: Environment, tmp_path: Path) -> None:
    packages = [written(environment, kind, tmp_path)[0] for kind in KINDS]
    each = [argument for package in packages for argument in ("--editable", package)]
    installed = environment.run("pip", "install", "--quiet", "--no-deps", *each, cwd=tmp_path, **OFFLINE)
    assert installed.returncode == 0, installed.stderr
    tests = [package / "tests" for package in packages]
    tested = environment.run("pytest", "-q", "-W", "error", *tests, cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    listed = environment.run("vectadb-agent", "plugins", cwd=tmp_path).stdout
    for kind in KINDS:
        row = next(line for line in listed.splitlines() if line.startswith(f"my_{kind} "))
        assert row.split() == [f"my_{kind}", f"vectadb-agent-my-{kind}", "0.1.0", f"{kind}s:", f"my_{kind}"]
