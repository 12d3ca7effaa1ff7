"""What is said on the way: progress, and the log for machines and for people."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest

from vectadb_agent import logs, progress

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def loggers() -> Iterator[None]:
    """Puts the logging back that ``set_up`` replaces."""
    root, ours = logging.getLogger(), logging.getLogger("vectadb_agent")
    handlers, level, own = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(own)


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with progress.bar() as tell:
        tell("p: /g", 0.25, "7 records read")
        tell("p: /g", 1.0, "28 records read")
    shown = terminal.getvalue()
    assert "p: /g" in shown
    assert "100%" in shown
    assert "28 records read" in shown
    assert not re.search(r"\x1b\[(?:\d+;)?3\dm", shown), "NO_COLOR is heeded"


def test_progress_is_a_line_now_and_then_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([100.0, 101.0, 120.0])
    monkeypatch.setattr("vectadb_agent.progress.time.monotonic", lambda: next(times))
    with progress.bar() as tell:
        for part in (0.1, 0.2, 0.3):
            tell("p", part, "x")
    assert capsys.readouterr().err == "p: 10%  x\np: 30%  x\n"


@pytest.mark.usefixtures("loggers")
def test_logs_are_json_for_machines_and_a_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(stream: io.StringIO) -> str:
        logs.set_up("info", stream)
        logger = logging.getLogger("vectadb_agent.test")
        logger.debug("too much")
        logging.getLogger("other").info("not ours")
        try:
            raise KeyError("x")
        except KeyError:
            logger.exception("it failed", extra={"pipeline": "p"})
        return stream.getvalue()

    line = json.loads(said(io.StringIO()))
    assert {name: line[name] for name in ("level", "logger", "message", "pipeline")} == {
        "level": "error",
        "logger": "vectadb_agent.test",
        "message": "it failed",
        "pipeline": "p",
    }
    assert line["traceback"].endswith("KeyError: 'x'")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = said(Terminal())
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} \x1b\[\d+merror   \x1b\[0m it failed  \(pipeline=p\)\nTraceback", coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said(Terminal())
