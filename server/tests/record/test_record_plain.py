"""Batches with plain events, stored on both ways: the answers and what is held in the end are the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vectadb_server import plain
from vectadb_server.attribution import given_trace
from vectadb_server.expiry import Expired
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores.horizon import Horizon
from vectadb_server.wire import decode_batch, encode_event

from .making import DAY, MIDNIGHT, SECOND, block, line
from .test_record_ingest import conversation, everything

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vectadb_server.model import Event
    from vectadb_server.stores.surreal import SurrealStore

    from .conftest import Opener

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not plain.installed(), reason="vectadb-native is not installed: there is no cargo"),
]


def sent(events: Sequence[Event]) -> bytes:
    """A batch's body."""
    bodies = []
    for event in events:
        body = encode_event(event)
        body["trace_id"] = event.trace_id
        ours = ("trace_basis", "given_trace_id", "created_at")
        bodies.append({name: item for name, item in body.items() if name not in ours})
    return msgspec.json.encode({"events": bodies})


def talk() -> list[Event]:
    """Of two days: blocks, boundaries and windows, and as many lines that name their trace."""
    events = conversation()
    for number in range(120):
        at = MIDNIGHT + (number - 60) * SECOND
        named: dict[str, Any] = {("trace_id", "request_id", "session_id")[number % 3]: f"t{number % 7}"}
        kind = ("log", "tool_call", "error")[number % 5 % 3]
        events.append(line(f"p{number}", at, event_type=kind, agent_id="bot", properties={"n": number}, **named))
    records = [(f"q{number}", MIDNIGHT + (number - 15) * SECOND) for number in range(30)]
    for number in range(28):
        events.append(block(records[number], trace_id="q"))
        if number % 4 == 0:
            events.append(block(*records[number : number + 3], trace_id="q"))
            events.append(block(records[number], trace_id="q", read_at=MIDNIGHT + DAY, raw="once more"))
    return events


class Two:
    """The same batches on both ways, into a store each."""

    def __init__(self, stores: Sequence[SurrealStore], expired: Callable[[], Awaitable[Expired]]) -> None:
        self.ways = [Ingest(store, expired=expired) for store in stores]
        self.plain = 0

    async def send(self, events: Sequence[Event]) -> list[str]:
        body = sent(events)
        told = []
        for taker, now in zip(self.ways, (None, MIDNIGHT), strict=True):
            decoded = decode_batch(body, now=now)
            assert decoded.indexes == list(range(len(events)))
            outcomes = await taker.ingest(decoded.events, decoded.options, decoded.among)
            told.append([(each.event_id, each.status, each.trace_id, each.code) for each in outcomes])
            self.plain += 0 if decoded.among is None else len(decoded.among.plain.ids)
        assert told[0] == told[1]
        return [status for _, status, _, _ in told[1]]


async def nothing() -> Expired:
    return Expired()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_both_ways_leave_the_same_record(new_store: Opener, seed: int) -> None:
    stores = [await new_store() for _ in range(2)]
    two, rnd = Two(stores, nothing), random.Random(seed)
    events = talk() * 2
    rnd.shuffle(events)
    left = iter(events)
    seen: list[str] = []
    while batch := [event for event, _ in zip(left, range(rnd.choice((3, 20, 60))), strict=False)]:
        seen += await two.send(batch)
    assert {"accepted", "duplicate"} <= set(seen)
    assert two.plain > 100
    for store in stores:
        async with Indexer(store, None) as indexer:
            await indexer.wait_idle()
    assert await everything(stores[0]) == await everything(stores[1])


async def test_nearly_all_new_batches_of_them_are_one_insertion(new_store: Opener) -> None:
    """With a boundary and a line of a window among them; a second time all are duplicates."""
    two = Two([await new_store() for _ in range(2)], nothing)
    named = [line(f"p{n}", MIDNIGHT + n, trace_id="t") for n in range(20)]
    batch = [*named, line("begins", MIDNIGHT + 5, event_type="agent_start"), line("inside", MIDNIGHT + 6)]
    assert await two.send(batch) == ["accepted"] * 22
    assert await two.send(batch) == ["duplicate"] * 22
    assert two.plain == 40
    # And what was not there yet is told from what was.
    assert await two.send([line("p20", MIDNIGHT, trace_id="t"), *named]) == ["accepted", *["duplicate"] * 20]
    again = line("p21", MIDNIGHT, trace_id="t")
    assert await two.send([again, named[0], again]) == ["accepted", "duplicate", "duplicate"]


async def test_what_is_over_is_expired_on_both_ways(new_store: Opener) -> None:
    erased = given_trace("t3")
    said = [
        Expired(Horizon(MIDNIGHT)),
        Expired(Horizon(0, {"tool_call": MIDNIGHT + DAY})),
        Expired(Horizon(), {erased: frozenset()}),
    ]
    for expired in said:
        stores = [await new_store() for _ in range(2)]

        async def over(expired: Expired = expired) -> Expired:
            return expired

        two = Two(stores, over)
        events = talk()
        for start in range(0, len(events), 70):
            await two.send(events[start : start + 70])
        held = await everything(stores[1])
        assert held == await everything(stores[0])
        assert held["events"]
        assert not [event for event in held["events"] if event.trace == erased and expired.erased]


async def test_what_a_batch_of_two_days_stored_before_it_met_a_held_one_is_accepted(new_store: Opener) -> None:
    two = Two([await new_store() for _ in range(2)], nothing)
    held = line("held", MIDNIGHT + DAY, trace_id="t")
    assert await two.send([held]) == ["accepted"]
    assert await two.send([line("new", MIDNIGHT, trace_id="t"), held]) == ["accepted", "duplicate"]
