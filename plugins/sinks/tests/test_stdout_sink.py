"""The ``stdout`` sink: lines for machines and for people, and what happens when nobody reads them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import Event
from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent_sinks.stdout import MAX_MESSAGE, StdoutConfig, StdoutSink, pretty

pytestmark = pytest.mark.anyio


async def write(events, **options):
    async with StdoutSink(StdoutConfig(type="stdout", **options)) as sink:
        return await sink.write(events)


@contextlib.contextmanager
def piped():
    """Standard output as a pipe; yields its ends. No fixture: pytest puts its own output in place before each call."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stdout, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        yield reader, writer


async def test_json_is_the_wire_form_a_line_each(capfd, make_event):
    events = [make_event(0, text="two\nlines"), make_event(1, properties={"a": "\ud800"}), make_event(2)]
    print("before", end="\n")
    result = await write(events)
    before, *lines = capfd.readouterr().out.splitlines()
    assert before == "before"
    assert [json.loads(line) for line in lines] == [events[0].wire(), events[2].wire()]
    assert [refused[0] for refused in result.refused] == ["id-1"]


async def test_pretty_is_for_people(capfd, make_event):
    await write(
        [
            make_event(0, text="Thinking\nhard\n", trace_id="t1", agent_id="shop", event_type="agent_thought"),
            make_event(
                1,
                event_type="tool_call",
                properties={"gen_ai.tool.name": "search", "gen_ai.tool.call.arguments": {"q": "red shoes"}},
            ),
            make_event(2, request_id="r1", properties={"message": "\x1b[31mred\x1b[0m\tx"}, timestamp=None),
        ],
        format="pretty",
    )
    assert capfd.readouterr().out.splitlines() == [
        "2026-01-01 00:00:00.000  agent_thought     t1/shop  Thinking  (+1 lines)",
        '2026-01-01 00:00:01.000  tool_call         -  search: {"q":"red shoes"}',
        "2026-01-01 00:00:02.000  log               r1  [31mred [0m x",
    ]


async def test_long_messages_are_cut_in_pretty(capfd, make_event):
    await write([make_event(text="x" * 10_000)], format="pretty")
    line = capfd.readouterr().out.rstrip("\n")
    assert line.endswith("  " + "x" * (MAX_MESSAGE - 1) + "…")


values = st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))


@given(
    st.text(),
    st.one_of(st.none(), st.text()),
    st.dictionaries(st.sampled_from(["message", "gen_ai.tool.name", "gen_ai.tool.call.result"]), values),
    st.one_of(st.none(), st.integers()),
)
def test_pretty_is_one_printable_line_whatever_comes(kind, raw, properties, timestamp):
    line = pretty(Event(event_type=kind, raw=raw, properties=properties, timestamp=timestamp, trace_id=raw))
    assert line.isprintable()
    line.encode()


async def test_a_reader_that_has_gone_ends_it(make_event):
    with piped() as (reader, _):
        os.close(reader)
        with pytest.raises(CheckError, match="closed by its reader"):
            await write([make_event()])


async def test_a_pipe_that_is_full_for_now_is_waited_for(make_event, monkeypatch):
    received, blocked = bytearray(), []
    real = os.write
    with piped() as (reader, writer):
        os.set_blocking(writer, False)

        def draining(fd, data):
            try:
                return real(fd, data)
            except BlockingIOError:
                blocked.append(fd)
                received.extend(os.read(reader, 1 << 20))
                raise

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", draining)
            await write([make_event(number, text="x" * 1000) for number in range(200)])
    with os.fdopen(reader, "rb") as rest:
        received.extend(rest.read())
    assert blocked
    assert [json.loads(line)["event_id"] for line in received.splitlines()] == [f"id-{n}" for n in range(200)]


async def test_a_line_half_written_is_ended_before_the_next(make_event, monkeypatch):
    real = os.write
    space = [100]

    def filling(fd, data):
        if not space[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: space[0]])
        space[0] -= written
        return written

    with piped() as (reader, _):
        async with StdoutSink(StdoutConfig(type="stdout")) as sink:
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", filling)
                with pytest.raises(RetryableError, match="No space left"):
                    await sink.write([make_event()])
            await sink.write([make_event()])
    with os.fdopen(reader, "rb") as received:
        torn, whole = received.read().splitlines()
    assert len(torn) == 100
    assert json.loads(whole)["event_id"] == "id-0"


async def test_no_standard_output_is_said_at_once(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(CheckError, match="no standard output"):
        await write([])
