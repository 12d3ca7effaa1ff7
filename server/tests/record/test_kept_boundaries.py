"""What is kept of boundaries is what the record has, whatever is written meanwhile, and however that ends."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest

from vectadb_server.attribution import INVOCATION_CAP, Boundary, Need
from vectadb_server.stores import boundaries
from vectadb_server.stores.boundaries import ALL, LAST, Kept, read_anew
from vectadb_server.stores.engine import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.attribution import Window
    from vectadb_server.stores.boundaries import Place

pytestmark = pytest.mark.anyio

DAY, MINUTE = "2026-01-05", 60_000_000


def made(us: int, kind: Window, stream: str, number: int = 0) -> Boundary:
    order = (us, us, f"r{number}", "")
    return Boundary(stream_key=stream, order=order, kind=kind, start=True, event_id=f"e{us}-{number}", trace="t")


class Record:
    """Boundaries that a transaction makes visible at some moment, of which it hears only later."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.now = 0
        self.came: dict[Boundary, int] = {}
        self.went: dict[Boundary, int] = {}
        self.reads = 0

    async def moments(self) -> None:
        for _ in range(self.rnd.randrange(4)):
            await asyncio.sleep(0)

    def apply(self, added: Sequence[Boundary], gone: Sequence[Boundary]) -> None:
        self.now += 1
        for each in added:
            self.came.setdefault(each, self.now)
        for each in gone:
            self.went[each] = self.now

    def visible(self, at: int) -> list[Boundary]:
        found = [each for each, came in self.came.items() if came <= at < self.went.get(each, 2**62)]
        return sorted(found, key=lambda each: each.position)

    async def read(self, query: str, places: Sequence[Place]) -> list[list[Boundary]]:
        await self.moments()
        seen = self.visible(self.now)
        self.reads += 1
        await self.moments()
        found = []
        for place in places:
            inside = [
                each
                for each in seen
                if (each.stream_key, each.kind) == place[:2] and place.first <= each.order[0] < place.behind
            ]
            found.append(inside if query == ALL else inside[-1:] if query == LAST else inside[:1])
        return found


def wanted(seen: Sequence[Boundary], needs: Sequence[Need]) -> set[Boundary]:
    found: set[Boundary] = set()
    for need in needs:
        line = [each for each in seen if (each.stream_key, each.kind) == (need.stream_key, need.kind)]
        times = [each.order[0] for each in line]
        first, behind = bisect_left(times, need.from_us), bisect_left(times, need.to_us + 1)
        found |= set(line[first:behind])
        before, after = line[:first][-1:] if need.before else [], line[behind:][:1] if need.after else []
        found |= {each for each in before if each.order[0] >= need.from_us - INVOCATION_CAP}
        found |= {each for each in after if each.order[0] <= need.to_us + INVOCATION_CAP}
    return found


def some_needs(rnd: random.Random) -> list[Need]:
    found = []
    for _ in range(rnd.randrange(1, 4)):
        first = rnd.randrange(120) * MINUTE
        kind = rnd.choice(("invocation", "run"))
        sides = {"before": rnd.random() < 0.5, "after": rnd.random() < 0.5} if kind == "invocation" else {}
        last = first + rnd.randrange(20) * MINUTE
        found.append(Need(stream_key=rnd.choice("abcd"), kind=kind, from_us=first, to_us=last, **sides))
    return found


@pytest.fixture(params=[True, False], ids=["as it is", "little is kept"])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    if request.param:
        return boundaries.MOST
    monkeypatch.setattr(boundaries, "_KEPT", 10 * MINUTE)
    monkeypatch.setattr(boundaries, "_LONGEST", 30 * MINUTE)
    return 12


@pytest.mark.parametrize("seed", range(120))
async def test_whatever_is_written_meanwhile(seed: int, most: int) -> None:
    rnd = random.Random(seed)
    record, kept = Record(rnd), Kept(most)
    late: list[tuple[list[Boundary], list[Boundary]]] = []

    async def writes() -> None:
        for number in range(40):
            await record.moments()
            kind = rnd.choice(("invocation", "run"))
            added = [made(rnd.randrange(140) * MINUTE, kind, rnd.choice("abcd"), seed * 100 + number) for _ in range(2)]
            held = record.visible(record.now)
            gone = rnd.sample(held, min(len(held), 2)) if rnd.random() < 0.2 else []
            how = rnd.random()
            try:
                with kept.writing(DAY, added, gone):
                    await record.moments()
                    if how < 0.1:
                        raise Conflict
                    if how < 0.12:
                        late.append((added, gone))  # and nobody hears how it ends
                        raise TimeoutError
                    record.apply(added, gone)
                    await record.moments()
                    if how < 0.13:
                        raise TimeoutError
            except (Conflict, TimeoutError):
                pass
            if late and rnd.random() < 0.5:
                record.apply(*late.pop())

    async def reads() -> None:
        for _ in range(60):
            await record.moments()
            needs, settled = some_needs(rnd), rnd.random() < 0.7
            begun = record.now
            found = set(await kept.find(DAY, needs, record.read, settled=settled))
            if not settled:
                continue
            ever = [each for each, came in record.came.items() if came <= record.now]
            assert all(record.went.get(each, 2**62) > begun for each in found), "it had gone before"
            assert found <= set(ever)
            # What was there all the time, in each place asked for.
            ranges = [Need(stream_key=n.stream_key, kind=n.kind, from_us=n.from_us, to_us=n.to_us) for n in needs]
            staying = [each for each in record.visible(begun) if record.went.get(each, 2**62) > record.now]
            assert wanted(staying, ranges) <= found
            if begun == record.now:
                assert found == wanted(record.visible(begun), needs)

    await asyncio.gather(writes(), writes(), reads(), reads())
    for added, gone in late:
        record.apply(added, gone)
    for _ in range(40):
        needs = some_needs(rnd)
        assert set(await kept.find(DAY, needs, record.read, settled=True)) == wanted(record.visible(record.now), needs)
        assert set(await read_anew(needs, record.read)) == wanted(record.visible(record.now), needs)


async def test_what_is_kept_is_not_read_again() -> None:
    record, kept = Record(random.Random(1)), Kept()
    for minute in range(100):
        added = [made(minute * MINUTE, "run", "a")]
        with kept.writing(DAY, added, []):
            record.apply(added, [])
        need = Need(stream_key="a", kind="run", from_us=(minute - 60) * MINUTE, to_us=minute * MINUTE)
        found = await kept.find(DAY, [need], record.read, settled=True)
        assert set(found) == wanted(record.visible(record.now), [need])
    assert record.reads == 100, "each time only for what is new"
    again = record.reads
    assert set(await kept.find(DAY, [need], record.read, settled=True)) == set(found)
    assert record.reads == again
    kept.only(["another day"])
    await kept.find(DAY, [need], record.read, settled=True)
    assert record.reads == again + 1


async def test_it_is_bounded_also_by_streams_without_boundaries() -> None:
    record, kept = Record(random.Random(1)), Kept(1_000)
    for number in range(300):
        added = [made(n * MINUTE, "run", f"s{number}") for n in range(number)] if number in (5, 299) else []
        with kept.writing(DAY, added, []):
            record.apply(added, [])
        needs = [Need(stream_key=f"s{n}", kind="run", from_us=0, to_us=300 * MINUTE) for n in (number, 5)]
        found = await kept.find(DAY, needs, record.read, settled=True)
        assert set(found) == wanted(record.visible(record.now), needs)
    assert kept.weight <= 1_000


async def test_a_line_that_alone_is_too_much_is_not_kept() -> None:
    record, kept = Record(random.Random(1)), Kept(100)
    record.apply([made(n * MINUTE // 10, "run", "large") for n in range(200)], [])
    small, large = (Need(stream_key=name, kind="run", from_us=0, to_us=60 * MINUTE) for name in ("small", "large"))
    for _ in range(3):
        assert set(await kept.find(DAY, [small, large], record.read, settled=True)) == set(record.visible(record.now))
    reads = record.reads
    await kept.find(DAY, [small], record.read, settled=True)
    assert record.reads == reads, "the small one was let go of"


async def test_a_removal_of_which_nobody_heard_the_end_may_come_at_any_time() -> None:
    record, kept = Record(random.Random(1)), Kept()
    [going] = added = [made(MINUTE, "run", "a")]
    record.apply(added, [])
    need = Need(stream_key="a", kind="run", from_us=0, to_us=MINUTE)
    assert await kept.find(DAY, [need], record.read, settled=True) == [going]
    with pytest.raises(TimeoutError), kept.writing(DAY, [], added):
        raise TimeoutError
    assert await kept.find(DAY, [need], record.read, settled=True) == [going]
    record.apply([], added)
    assert await kept.find(DAY, [need], record.read, settled=True) == []
