"""The generated pages are as the code is now."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.__main__ import HERE, PAGES
from docs.parsers import EXAMPLES
from vectadb_agent.config import check
from vectadb_agent_parsers import vectadb_register_parsers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_as_it_would_be_made(name: str) -> None:
    assert (HERE / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_parser_has_an_example() -> None:
    assert set(EXAMPLES) == {parser.name for parser in vectadb_register_parsers()} - {"auto"}


def test_the_example_configuration_is_valid() -> None:
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    configuration = check(text, "config.example.yaml", {"VECTADB_API_KEY": "k", "REDACT_SALT": "x" * 16})
    assert len(configuration.pipelines) >= 2
    groups = [group for pipeline in configuration.pipelines for group in pipeline.source.config.log_groups]
    assert len(groups) >= 4
