"""The hooks that a plugin may implement: the map of what can be added from outside.

A plugin is a module named by an entry point in the group ``vectadb_agent``. Hooks register, components work: a hook is
synchronous, does no I/O, and is called once, when the program starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_agent.components import Parser, Processor, Sink, Source

PROJECT = "vectadb_agent"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's hook functions."""


@hookspec
def vectadb_register_sources() -> Iterable[type[Source]]:
    """Return the source classes that the plugin brings. Called once, before the configuration is read."""
    raise NotImplementedError


@hookspec
def vectadb_register_parsers() -> Iterable[type[Parser]]:
    """Return the parser classes that the plugin brings. Called once, before the configuration is read."""
    raise NotImplementedError


@hookspec
def vectadb_register_processors() -> Iterable[type[Processor]]:
    """Return the processor classes that the plugin brings. Called once, before the configuration is read."""
    raise NotImplementedError


@hookspec
def vectadb_register_sinks() -> Iterable[type[Sink]]:
    """Return the sink classes that the plugin brings. Called once, before the configuration is read."""
    raise NotImplementedError
