"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vectadb_agent import LogRecord, LogStream
from vectadb_agent.config import check
from vectadb_agent.errors import ConfigError
from vectadb_agent.host import Host, Plugin
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_configuration_is_valid_and_complete() -> None:
    (text,) = blocks("yaml")
    configuration = check(text, "agent.yaml", {})
    (pipeline,) = configuration.pipelines
    assert [parser.name for parser in pipeline.parsers] == ["lambda", "langchain", "json", "regex"]
    with pytest.raises(ConfigError, match=r"agent\.yaml:14: .*unknown parser 'jsom'.*Did you mean 'json'"):
        check(text.replace("type: json,", "type: jsom,"), "agent.yaml", {})


def test_the_parser_is_short_and_works() -> None:
    import types

    (code,) = blocks("python")
    assert len(code.splitlines()) <= 33
    module = types.ModuleType("vectadb_agent_logfmt")
    exec(compile(code, "README.md", "exec"), module.__dict__)
    host = Host()
    host.register(module, Plugin("logfmt", "readme", "1"))
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
