"""Each way in which an installed plugin may be broken: told by distribution and version, and nobody else is hurt."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from vectadb_agent import config, host, runner, sample
from vectadb_agent.bounded import within
from vectadb_agent.cli import main
from vectadb_agent.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = """
from vectadb_agent import Parser, hookimpl

class Toy(Parser):
    name = "toy"

@hookimpl
def vectadb_register_parsers():
    return [Toy]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a distribution ``broken-plugin`` 3.2.1 of one module, as an installer lays it out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def made(code: str, name: str = "broken") -> None:
        names.append(f"{name}_plugin")
        (tmp_path / f"{name}_plugin.py").write_text(code)
        info = tmp_path / f"{name}_plugin-3.2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 3.2.1\n")
        (info / "entry_points.txt").write_text(f"[vectadb_agent]\n{name} = {name}_plugin\n")

    yield made
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time for plugins; the others are imported before."""
    host.load()
    monkeypatch.setattr(host, "PATIENCE", 1.0)


def problem(capsys: pytest.CaptureFixture[str]) -> str:
    """What ``plugins`` says of it; that all others are there, and that they work, is looked at besides."""
    assert main(["plugins"]) == 1
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if line.startswith("PROBLEM")]
    assert line.startswith("PROBLEM plugin 'broken' (broken-plugin 3.2.1): ")
    loaded = host.load()
    assert {plugin.name for plugin in loaded.plugins if plugin.problems} == {"broken"}
    assert {"cloudwatch", "parsers", "processors", "sinks"} <= {plugin.name for plugin in loaded.plugins}
    assert {"auto", "json", "langchain"} <= {*loaded.components["parser"]}
    return line.partition("): ")[2]


def test_import_error(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("import no_such_library")
    assert problem(capsys) == "importing broken_plugin raised ModuleNotFoundError: No module named 'no_such_library'"


def test_syntax_error(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("def (:")
    assert problem(capsys).startswith("importing broken_plugin raised SyntaxError: invalid syntax (broken_plugin.py, ")


def test_exit_at_import(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("import sys; sys.exit(3)")
    assert problem(capsys) == "importing broken_plugin raised SystemExit: 3"


def test_wrong_hook_name(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(GOOD.replace("register_parsers", "register_parser"))
    assert problem(capsys).endswith("Did you mean vectadb_register_parsers?")


def test_duplicate_name(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install(GOOD.replace('"toy"', '"json"'))
    told = problem(capsys)
    assert told.startswith("parser 'json' is brought by ")
    assert "uninstall one of the two" in told


def test_incompatible_api_version(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("VECTADB_AGENT_API = 2\n" + GOOD)
    told = problem(capsys)
    assert told.startswith("it is made for version 2 of the plugin API, this vectadb-agent has version 1")


@pytest.mark.usefixtures("impatient")
def test_import_that_hangs(install: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    install("import threading\nthreading.Event().wait()")
    told = problem(capsys)
    assert told == "importing broken_plugin did not end within 1 s; it stood at broken_plugin.py:2, in <module>"


@pytest.mark.usefixtures("impatient")
def test_hook_that_hangs_and_catches_whatever_fails(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    again = "import time\n\ndef wait():\n    try:\n        time.sleep(9)\n    except Exception:\n        pass\n"
    install(again + GOOD.replace("    return [Toy]", "    while True: wait()"))
    told = problem(capsys)
    assert told.startswith("vectadb_register_parsers() did not end within 1 s; it stood at broken_plugin.py:")


@pytest.mark.usefixtures("impatient")
def test_component_whose_init_hangs(install: Callable[..., None], tmp_path: Path) -> None:
    install(
        GOOD.replace('    name = "toy"', '    name = "toy"\n    def __init__(self, config):\n        while True: pass')
    )
    agent = tmp_path / "agent.yaml"
    agent.write_text(
        "pipelines:\n"
        "  fine: {agent_id: a, source: {type: cloudwatch, region: eu-west-1, log_groups: [/g]}, sinks: [out]}\n"
        "  bad:\n"
        "    source: {type: cloudwatch, region: eu-west-1, log_groups: [/g]}\n"
        "    parsers: [{type: toy}]\n"
        "    sinks: [out]\n"
        "sinks: {out: {type: stdout}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        config.read(agent, {})
    (told,) = caught.value.problems
    assert (told.line, told.path) == (5, "pipelines.bad.parsers[0]")
    assert told.text.startswith("parser 'toy' of broken-plugin 3.2.1 failed: TimeoutError: did not end within 1 s")
    assert "broken_plugin.py:7, in __init__" in told.text
    with pytest.raises(UsageError, match=r"parser 'toy' of broken-plugin 3\.2\.1 failed: TimeoutError: did not end"):
        sample.parsers_by_name(["toy"])


def test_a_running_agent_warns_of_what_it_left_out(
    install: Callable[..., None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("import no_such_library")
    install(
        "from vectadb_agent import hookimpl\nfrom vectadb_agent.testing import ListSource\n"
        "class Empty(ListSource):\n    name = 'empty'\n    def __init__(self, config):\n        super().__init__([])\n"
        "@hookimpl\ndef vectadb_register_sources():\n    return [Empty]\n",
        "empty",
    )
    agent = tmp_path / "agent.yaml"
    agent.write_text(
        f"agent: {{state_dir: {tmp_path}/state}}\n"
        "pipelines: {p: {source: {type: empty}, sinks: [out]}}\n"
        "sinks: {out: {type: file, path: events.ndjson}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert runner.run(config.read(agent, {}), drain=True) == 0
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.__dict__["plugin"] for record in warned] == ["plugin 'broken' (broken-plugin 3.2.1)"]
    assert main(["check", "--config", str(agent)]) == 0
    assert capsys.readouterr().out.startswith("PROBLEM plugin 'broken' (broken-plugin 3.2.1): importing broken_plugin")


def test_no_alarm_is_left_behind(install: Callable[..., None]) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 500)
    install(GOOD)
    assert host.load(["broken"]).components["parser"].keys() == {"toy"}
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    signal.raise_signal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)
    assert (400 < left <= 500, rung) == (True, [signal.SIGALRM])


def test_another_thread_waits_as_long_as_it_takes() -> None:
    said: list[int] = []

    def bounded() -> None:
        with within(0):
            said.append(1)

    thread = threading.Thread(target=bounded)
    thread.start()
    thread.join()
    assert said == [1]
