"""Tables are gone through in slices of their ids: every row once, in order, and never many at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from vectadb_server.stores.engine import identity, key_of
from vectadb_server.stores.segments import META
from vectadb_server.stores.slices import slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio

_RANDOM = random.Random(1)
ANYWHERE = [_RANDOM.getrandbits(128) for _ in range(300)]
#: As UUIDv7 of one minute are; and a run without a gap.
DENSE = [(0x019B << 112) + _RANDOM.getrandbits(80) for _ in range(300)]
RUN = list(range(2**127, 2**127 + 200))
CASES = {
    "none": [],
    "first and last": [0, 2**128 - 1],
    "anywhere": ANYWHERE,
    "dense": DENSE,
    "all": [*ANYWHERE[:50], *DENSE, *RUN],
}


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("case", CASES)
async def test_every_row_once_in_order(store: SurrealStore, case: str, as_text: bool) -> None:
    table = "trace_days" if as_text else "home"
    numbers = CASES[case]
    ids = [str(UUID(int=number)) for number in numbers]
    rows = [{"id": each if as_text else identity(each), "days": []} for each in ids]
    asked: list[str] = []
    async with store.segments.use(META) as meta:
        await meta.run(f"INSERT INTO {table} $rows RETURN NONE", {"rows": rows})

        async def ask(sql: str, values: Mapping[str, Any]) -> Any:
            asked.append(sql)
            return await meta.one(sql, values)

        for wanted in (1, 20, 1000):
            for after in ("", *sorted(ids)[:: len(ids) // 3 + 1]):
                asked.clear()
                pages = [page async for page in slices(ask, table, "id", wanted, after=after, as_text=as_text)]
                found = [str(key_of(row["id"])) for page in pages for row in page]
                assert found == sorted(each for each in ids if each > after)
                assert all(len(page) <= 2 * wanted for page in pages)
        # With the largest: few questions, however the ids lie.
        assert len(asked) < 80


async def test_what_comes_meanwhile_behind_comes_too(store: SurrealStore) -> None:
    async with store.segments.use(META) as meta:

        async def put(*numbers: int) -> None:
            rows = [{"id": UUID(int=number)} for number in numbers]
            await meta.run("INSERT INTO home $rows RETURN NONE", {"rows": rows})

        await put(*(number << 120 for number in range(100)))
        found = []
        async for page in slices(meta.one, "home", "id", 10):
            found += [key_of(row["id"]).int >> 120 for row in page]
            if len(found) == len(set(found)) and max(found) < 100:
                await put((max(found) + 100) << 120)
    assert found == sorted(set(found))
    assert set(range(100)) < set(found)
