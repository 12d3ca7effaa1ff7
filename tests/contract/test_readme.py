"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from vectadb_agent import LogRecord, LogStream
from vectadb_agent.config import check
from vectadb_agent.errors import ConfigError
from vectadb_agent.host import Host, Plugin
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent_parsers import AutoParser, vectadb_register_parsers
from vectadb_agent_processors import vectadb_register_processors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WRITING = (ROOT / "docs" / "writing-a-parser.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def test_the_configuration_is_valid_and_has_every_processor() -> None:
    (text,) = blocks(README, "yaml")
    configuration = check(text, "agent.yaml", {})
    (pipeline,) = configuration.pipelines
    names = [parser.name for parser in pipeline.parsers]
    assert names[0] == "regex"
    assert names[1:] == [parser.name for parser in AutoParser(AutoParser.Config(type="auto")).members()]
    processors = {processor.name for processor in pipeline.processors}
    assert processors == {processor.name for processor in vectadb_register_processors()}
    with pytest.raises(ConfigError) as caught:
        check(text.replace("type: auto}", "type: autos}"), "agent.yaml", {})
    told = " ".join(README.split())
    for part in str(caught.value.problems[0]).split(", lambda")[0], "Did you mean 'auto'?":
        assert part in told, str(caught.value.problems[0])


def test_the_start_takes_ten_lines() -> None:
    first = blocks(README, "sh")[0]
    assert len(first.splitlines()) <= 12
    assert README.index(first) < README.index("## A configuration")


def test_every_parser_is_described() -> None:
    described = {name for line in README.splitlines() for name in re.findall(r"`(\w+)`", line) if "|" in line}
    assert {parser.name for parser in vectadb_register_parsers()} - {"auto"} <= described


def test_the_parser_is_short_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    code, suite, *_ = blocks(WRITING, "python")
    assert len(code.splitlines()) <= 33
    module = types.ModuleType("vectadb_agent_logfmt")
    exec(compile(code, "writing-a-parser.md", "exec"), module.__dict__)
    host = Host()
    host.register(module, Plugin("logfmt", "readme", "1"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(suite, "writing-a-parser.md", "exec"), module.__dict__)
    for test in dir(module.TestLogfmt):
        if test.startswith("test_"):
            getattr(module.TestLogfmt(), test)()
    provided = host.components["parser"]["logfmt"].component
    parser = provided(provided.Config(type="logfmt"))
    stream = LogStream("t", "1", "eu", "/g", "s")
    parsing = Parsing([parser])  # type: ignore[list-item]

    def parse(text: str) -> tuple[str, dict[str, object]]:
        (joined,) = Joiner[None]([parser]).add(LogRecord(stream, "1", 0, text), None, 0)  # type: ignore[list-item]
        (event,) = parsing.events(joined)
        return event.event_type, event.properties

    assert parse('level=error msg="no disk" request_id=7') == (
        "error",
        {"level": "error", "msg": "no disk", "message": "no disk"},
    )
    assert parse("plain words") == ("log", {})
    kind, properties = parse('level=info msg="open')
    assert (kind, properties["vectadb.parser"]) == ("log", "logfmt")
