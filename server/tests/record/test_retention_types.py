"""Events of single types are kept for shorter: they are erased, a day at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from vectadb_server.attribution import given_trace
from vectadb_server.stores import rows
from vectadb_server.stores.base import EventFilter, StoreUnavailable

from .making import DAY, HOUR, MIDNIGHT, block, line, posted, record_id
from .retaining import NOW, Server
from .test_retention import assert_same, breaks, kept_alone, some_events

if TYPE_CHECKING:
    from vectadb_server.model import Event

    from .conftest import Opener

pytestmark = pytest.mark.anyio

POSTED = "5c8e8e0e-6d5b-4a53-9d0e-3a4a6a1d2f11"
KEPT: dict[str, Any] = {"age": 60 * DAY, "types": {"log": 29 * DAY, "tool_call": 28 * DAY}}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_server.retention.GRACE", 0.0)


def is_kept(event: Event) -> bool:
    begins = {"log": MIDNIGHT + DAY, "tool_call": MIDNIGHT + 2 * DAY}
    return event.recorded >= begins.get(event.event_type, 0)


async def test_what_is_left_is_what_would_be_there_without_the_rest(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_events(3, days=4, number=150)
    left = [each for each in events if is_kept(each)]
    traces = [given_trace(f"t{n}") for n in range(40)]
    async with Server(await new_store(), **KEPT) as server:
        await server.send(*events)
        await server.indexer.wait_idle()
        counted = await server.store.digest(None, 0, 2**60)
        with monkeypatch.context() as patch:
            breaks(patch, server.store, "note_expired_types", done=False)
            with pytest.raises(StoreUnavailable, match="broken"):
                await server.retention.once()
        await server.settle()
        shown = await server.shows(traces)
        assert 0 < len(left) < len(events)
        assert_same(shown, await kept_alone(new_store, left))
        assert await server.store.digest(None, 0, 2**60) == counted
        assert (await server.check()).complete
        again = await server.send(*events)
        assert again == ["duplicate" if is_kept(each) else "expired" for each in events]
        await server.indexer.wait_idle()
        assert_same(await server.shows(traces), shown)
        breaks(monkeypatch, server.store, "pages", done=False)
        await server.settle()  # What is done is not looked for again.


async def test_what_comes_late_is_held_and_says_nothing(new_store: Opener) -> None:
    store = await new_store()
    async with Server(store, **KEPT) as server:
        await server.settle()
        late = block(("a", MIDNIGHT), ("b", MIDNIGHT + 1), event_type="log")
        others = [line("c", MIDNIGHT, event_type="error"), line("d", MIDNIGHT + DAY, event_type="log")]
        assert await server.send(late, *others) == ["expired", "accepted", "accepted"]
        assert await store.lacking([(each, MIDNIGHT) for each in late.record_ids]) == set()
        assert await store.event(record_id("a")) is None
        [hour, _] = await store.digest(None, 0, 2**60)
        assert hour.count == 3
        await server.indexer.wait_idle()
        assert (await server.check()).complete
    # Also where the setting is lengthened later.
    async with Server(store) as lenient:
        assert await lenient.send(late) == ["expired"]
        assert await lenient.send(block(("a", MIDNIGHT), ("b", MIDNIGHT + 1), event_type="error")) == ["expired"]


async def test_days_get_old(new_store: Opener) -> None:
    async with Server(await new_store(), **KEPT) as server:
        sent = [line(f"{day}", MIDNIGHT + day * DAY + HOUR, event_type="log") for day in range(3)]
        await server.send(*sent)
        for day in range(3):
            server.now = NOW + day * DAY
            await server.settle()
            held = [each.raw for each in [await server.store.event(each.event_id) for each in sent] if each is not None]
            assert held == [f"{later}" for later in range(day + 1, 3)]
            assert rows.day_of(server.expiry._known.horizon.types["log"]) == rows.day_of(MIDNIGHT + (day + 1) * DAY)


async def test_the_log_tells_of_what_older_events_are_not_kept(new_store: Opener, caplog: Any) -> None:
    caplog.set_level("INFO", logger="vectadb_server.retention")

    def told() -> list[tuple[str, str | None, str | None]]:
        found = [record for record in caplog.records if "not kept any more" in record.message]
        caplog.clear()
        return [(each.message, getattr(each, "horizon", None), getattr(each, "horizons", None)) for each in found]

    of_types = "what is older of these types is not kept any more"
    async with Server(await new_store(), types={"log": 29 * DAY}) as server:
        await server.settle()
        day = rows.day_of(MIDNIGHT + DAY)
        assert told() == [(of_types, None, f"log={day}")]
        await server.settle()
        assert told() == []
    async with Server(await new_store(), age=30 * DAY) as server:
        await server.settle()
        [(said, horizon, horizons)] = told()
        assert (said, horizons) == ("what is older is not kept any more", None)
        assert horizon is not None


@pytest.mark.parametrize(
    "held", [line("a", MIDNIGHT, event_type="error"), posted(POSTED, MIDNIGHT, event_type="error")]
)
async def test_a_copy_of_a_type_that_is_over_does_not_take_what_is_held(new_store: Opener, held: Event) -> None:
    async with Server(await new_store(), **KEPT) as server:
        await server.settle()
        copy = structs.replace(held, event_type="log")
        assert await server.send(held) == ["accepted"]
        assert await server.send(copy) == ["duplicate"]
        assert await server.send(copy, held) == ["duplicate", "duplicate"]
        assert [each.event_type for each in [await server.store.event(held.event_id)] if each] == ["error"]
        await server.indexer.wait_idle()
        assert (await server.check()).complete


async def test_of_two_events_of_one_record_in_a_batch_the_one_that_is_kept_is_kept(new_store: Opener) -> None:
    first = [line(name, MIDNIGHT, event_type="log") for name in ("a", "b", "c")]
    grown = [
        block(("a", MIDNIGHT), ("a1", MIDNIGHT + 1), event_type="error"),
        block(("b", MIDNIGHT), ("b1", MIDNIGHT + 1), event_type="error", read_at=1),
        line("c", MIDNIGHT, event_type="error"),
    ]
    async with Server(await new_store(), **KEPT) as server:
        await server.settle()
        sent = [first[0], grown[0], grown[1], first[1], first[2], grown[2]]
        told = await server.send(*sent)
        assert [told[at] for at in (1, 2, 5)] == ["accepted"] * 3
        held = [await server.store.event(each.event_id) for each in grown]
        assert [each.event_type for each in held if each is not None] == ["error"] * 3
        assert sum(hour.count for hour in await server.store.digest(None, 0, 2**60)) == 5
        assert set(await server.send(*sent)) == {"duplicate"}
        await server.indexer.wait_idle()
        assert (await server.check()).complete


async def test_a_further_event_of_an_earlier_reading_does_not_take_the_later_one(new_store: Opener) -> None:
    records = ("a", MIDNIGHT), ("a1", MIDNIGHT + 1)
    later = block(*records, event_type="error", read_at=5), block(*records, part="0.1", event_type="error", read_at=5)
    async with Server(await new_store(), **KEPT) as server:
        await server.settle()
        assert await server.send(*later) == ["accepted", "accepted"]
        assert await server.send(block(*records, part="0.1", event_type="log")) == ["duplicate"]
        assert await server.store.event(later[1].event_id) is not None
        await server.indexer.wait_idle()
        assert (await server.check()).complete


async def test_what_gives_way_to_a_block_of_a_type_that_is_over_is_over_as_a_whole(new_store: Opener) -> None:
    small, extra = block(("a", MIDNIGHT), ("b", MIDNIGHT + 1), event_type="error"), ("c", MIDNIGHT + 2)
    async with Server(await new_store(), **KEPT) as server:
        await server.settle()
        assert await server.send(small) == ["accepted"]
        larger = block(("a", MIDNIGHT), ("b", MIDNIGHT + 1), extra, event_type="log")
        assert await server.send(larger) == ["expired"]
        await server.indexer.wait_idle()
        assert (await server.check()).complete
        assert await server.send(line("b", MIDNIGHT + 1, event_type="error"), small) == ["expired", "expired"]
        assert await server.store.events(EventFilter(), limit=10) == []
        assert sum(hour.count for hour in await server.store.digest(None, 0, 2**60)) == 3
