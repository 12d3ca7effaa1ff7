"""A plugin that fails is reported by name and version, and hurts nobody else."""

from __future__ import annotations

import sys
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_agent import Parser, Sink, hookimpl
from vectadb_agent.host import Host, Plugin, load

if TYPE_CHECKING:
    from collections.abc import Iterator


class One(Parser):
    name = "one"


class Nameless(Parser):
    pass


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    made = ModuleType("toy_plugin")
    monkeypatch.setitem(sys.modules, "toy_plugin", made)
    return made


def register(module: ModuleType, host: Host | None = None) -> tuple[Host, Plugin]:
    host = host or Host()
    plugin = Plugin("toy", "toy-dist", "1.2")
    host.register(module, plugin)
    return host, plugin


def parsers(*found: Any) -> Any:
    @hookimpl
    def vectadb_register_parsers() -> Any:
        return found

    return vectadb_register_parsers


def test_a_plugin_brings_components(module: ModuleType) -> None:
    module.vectadb_register_parsers = parsers(One)
    host, plugin = register(module)
    assert host.components["parser"]["one"].component is One
    assert (plugin.problems, plugin.components) == ([], {"parser": ["one"]})


def test_a_duplicate_names_the_other_distribution(module: ModuleType) -> None:
    module.vectadb_register_parsers = parsers(One)
    host, _ = register(module)
    _, second = register(module, host)
    assert second.problems == [
        "parser 'one' is brought by toy-dist 1.2 already; uninstall one of the two, or name the plugins to load under "
        "`plugins:`"
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [(Nameless, "has no `name`"), (3, "is no Parser class"), (Sink, "is no Parser class")],
)
def test_what_is_no_component_is_refused(module: ModuleType, found: object, said: str) -> None:
    module.vectadb_register_parsers = parsers(found)
    _, plugin = register(module)
    assert said in plugin.problems[0]


def test_wrong_hook_names_and_unmarked_hooks_are_told(module: ModuleType) -> None:
    wrong = parsers(One)
    module.vectadb_register_parser = wrong
    _, plugin = register(module)
    assert plugin.problems == [
        "unknown hook vectadb_register_parser (known: vectadb_register_sources, vectadb_register_parsers, "
        "vectadb_register_processors, vectadb_register_sinks). Did you mean vectadb_register_parsers?"
    ]

    def vectadb_register_sinks() -> list[type[Sink]]:
        return []

    del module.vectadb_register_parser
    vectadb_register_sinks.__module__ = module.__name__
    module.vectadb_register_sinks = vectadb_register_sinks
    _, plugin = register(module)
    assert "put @hookimpl above it" in plugin.problems[0]


def test_a_hook_that_raises_and_an_empty_plugin_are_told(module: ModuleType) -> None:
    @hookimpl
    def vectadb_register_parsers() -> list[type[Parser]]:
        raise KeyError("x")

    assert "implements none of the hooks" in register(module)[1].problems[0]
    module.vectadb_register_parsers = vectadb_register_parsers
    assert register(module)[1].problems == ["vectadb_register_parsers() raised KeyError: 'x'"]


def test_another_api_version_is_refused_by_name(module: ModuleType) -> None:
    module.VECTADB_AGENT_API = 99
    assert "version 99 of the plugin API" in register(module)[1].problems[0]


def test_a_plugin_that_cannot_be_imported_hurts_nobody(module: ModuleType) -> None:
    module.vectadb_register_parsers = parsers(One)
    entries = [
        metadata.EntryPoint("broken", "no_such_module_at_all", "vectadb_agent"),
        metadata.EntryPoint("toy", "toy_plugin", "vectadb_agent"),
    ]
    host = load(entries=entries)
    assert list(host.components["parser"]) == ["one"]
    assert "importing no_such_module_at_all raised ModuleNotFoundError" in host.plugins[0].problems[0]
    assert "failed to load" in host.unknown("parser", "zzz")
    assert load(["toy"], entries).plugins[0].name == "toy"
