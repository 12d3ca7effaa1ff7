"""The plugin as the host finds it."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

import vectadb_agent_sinks
from vectadb_agent import Sink, SinkConfig


def test_the_entry_point_leads_to_the_hook():
    (entry,) = entry_points(group="vectadb_agent", name="sinks")
    assert entry.load() is vectadb_agent_sinks
    assert entry.dist.name == "vectadb-agent-sinks"


def test_the_sinks_are_registered_under_their_names():
    sinks = {sink.name: sink for sink in vectadb_agent_sinks.vectadb_register_sinks()}
    assert sorted(sinks) == ["file", "stdout", "vectadb"]
    assert [name for name, sink in sinks.items() if sink.idempotent] == ["vectadb"]


@pytest.mark.parametrize("sink", vectadb_agent_sinks.vectadb_register_sinks(), ids=lambda sink: sink.name)
def test_every_option_is_documented(sink):
    assert issubclass(sink, Sink)
    assert issubclass(sink.Config, SinkConfig)
    assert [name for name, field in sink.Config.model_fields.items() if not field.description] == []
