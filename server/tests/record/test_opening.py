"""Databases are opened and closed; who asked for one may go away at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vectadb_server.stores import engine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("step", ["opened", "use"])
async def test_who_goes_away_while_a_database_is_opened_leaves_no_lock_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    reached, goes_on = asyncio.Event(), asyncio.Event()
    real = getattr(engine._Embedded, step)

    async def held(*args: str) -> object:
        found = await real(*args)
        reached.set()
        await goes_on.wait()
        return found

    url = f"surrealkv://{tmp_path / 'day'}"
    with monkeypatch.context() as patch:
        patch.setattr(engine._Embedded, step, held)
        asking = asyncio.create_task(engine.connect(url, "vectadb", "record"))
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        goes_on.set()
        while engine._left:
            await asyncio.wait(engine._left)
    monkeypatch.setattr(engine, "_LOCKED", 10.0)
    connection = await engine.connect(url, "vectadb", "record")
    assert await connection.one("RETURN 1") == 1
    await connection.close()
