from __future__ import annotations

import pytest
from pydantic import ValidationError

from vectadb_agent_parsers import AutoParser


def test_stands_for_one_parser_of_each_format():
    names = [parser.name for parser in AutoParser(AutoParser.Config(type="auto")).members()]
    assert len(names) == len(set(names))
    assert {"lambda", "langchain", "strands"} < set(names)
    assert names[-1] == "json"  # takes any object: asked last
    assert "auto" not in names


def test_formats_can_be_left_out():
    config = AutoParser.Config(type="auto", without=["strands", "json"])
    names = [parser.name for parser in AutoParser(config).members()]
    assert "strands" not in names
    assert "json" not in names


def test_a_format_that_is_not_looked_for_cannot_be_left_out():
    with pytest.raises(ValidationError, match=r"'strand' is not among the formats that auto looks for: .*strands"):
        AutoParser.Config(type="auto", without=["strand"])


def test_words_without_a_mark_are_not_taken_for_an_agents(block):
    members = AutoParser(AutoParser.Config(type="auto")).members()
    assert all(parser.parse(block("The answer is 42.\n")) is None for parser in members)
