"""Agent and server make the same ids and the same texts, and the same as ever: ``event_ids.json`` was written once."""

import json
import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vectadb_agent.records
import vectadb_server.ids
import vectadb_server.wire

VECTORS = json.loads((Path(__file__).parent / "event_ids.json").read_text("utf-8"))
STREAM = ("system", "account", "region", "log_group", "log_stream")

bounded = settings(derandomize=True, max_examples=200, deadline=None)


def by_agent(names: list[str]) -> str:
    stream = vectadb_agent.records.LogStream(*names[:5])
    return vectadb_agent.records.id_maker(stream)(*names[5:])


def by_server(names: list[str]) -> str:
    return vectadb_server.ids.uuid5(vectadb_server.ids.EVENTS, names)


def by_definition(names: list[str]) -> str:
    array = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
    return str(uuid.uuid5(uuid.UUID(VECTORS["namespace"]), array))


@pytest.mark.parametrize("vector", VECTORS["event_ids"], ids=lambda vector: vector["of"])
@pytest.mark.parametrize("made", [by_agent, by_server, by_definition])
def test_event_ids(vector, made):
    assert made([vector[name] for name in (*STREAM, "log_id", "part")]) == vector["event_id"]


@bounded
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=7, max_size=7))
def test_any_names_make_the_same_event_id(names):
    assert by_agent(names) == by_server(names)


def test_the_vectors_are_many_and_tell_apart():
    made = [vector["event_id"] for vector in VECTORS["event_ids"]]
    assert len(made) == len(set(made)) >= 12


def test_the_namespace_is_one():
    namespace = uuid.UUID(VECTORS["namespace"]).bytes
    assert namespace == vectadb_agent.records.NAMESPACE == vectadb_server.ids.EVENTS


@pytest.mark.parametrize("vector", VECTORS["sendable"], ids=lambda vector: ascii(vector["text"]))
@pytest.mark.parametrize("package", [vectadb_agent.records, vectadb_server.wire])
def test_sendable(vector, package):
    assert package.sendable(vector["text"]) == vector["sent"]


@bounded
@given(st.text(st.characters() | st.sampled_from("\x1a\ud800\udfff01ad8")))
def test_sendable_is_one_function_utf8_can_carry_it_and_it_can_be_undone(text):
    sent = vectadb_agent.records.sendable(text)
    assert sent == vectadb_server.wire.sendable(text)
    assert sent.encode().decode() == sent
    assert re.sub("\x1a([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), sent) == text
