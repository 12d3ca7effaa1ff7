"""Sign-ins in the record store: found again, forgotten, and no more of them than may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vectadb_server.signins import SignIn
from vectadb_server.stores import signins

if TYPE_CHECKING:
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio


async def test_sign_ins_are_kept_until_they_end(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "MOST", 3)
    kept = signins.SignInStore(store.segments)
    made = [SignIn(f"{number:064x}", "k", 100 + number) for number in range(5)]

    async def found() -> list[bool]:
        return [await kept.find(each.digest) is not None for each in made]

    for each in made[:3]:
        await kept.add(each, 1)
    assert [await kept.find(each.digest) for each in made[:3]] == made[:3]
    await kept.remove(made[1].digest)
    await kept.remove(made[1].digest)
    assert await found() == [True, False, True, False, False]
    await kept.add(made[1], 1)
    await kept.add(made[3], 1)
    assert await found() == [False, True, True, True, False]  # the one that would have ended first has gone
    await kept.add(made[4], 102)
    assert await found() == [False, False, False, True, True]  # and those that have expired
