"""What one server knows of the keys: how old it may be, and what holds when the record store is away."""

from __future__ import annotations

import asyncio

import pytest

from vectadb_server import keys
from vectadb_server.access import FRESH, HELD, OWNER, Access, BadKey
from vectadb_server.keys import Key
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Conflict

pytestmark = pytest.mark.anyio
TEXT, ID = keys.minted()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shared:
    """The record store's keys, which several servers see."""

    def __init__(self) -> None:
        self.rows: dict[str, Key] = {}
        self.away = False
        self.reads = 0
        self.touched: list[int] = []

    async def all(self) -> list[Key]:
        self.reads += 1
        self._may()
        return list(self.rows.values())

    async def add(self, key: Key) -> None:
        self._may()
        if key.id in self.rows:
            raise Conflict(key.id)
        self.rows[key.id] = key

    async def revoke(self, key_id: str, now: int) -> Key | None:
        self._may()
        key = self.rows.get(key_id)
        if key is not None:
            self.rows[key_id] = key = Key(**{**_fields(key), "revoked": now})
        return key

    async def touch(self, key_id: str, now: int) -> None:
        self._may()
        self.touched.append(now)

    def _may(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def _fields(key: Key) -> dict[str, object]:
    return {name: getattr(key, name) for name in key.__struct_fields__}


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> int:
        return int(self.seconds * 1e6)


@pytest.fixture
def shared() -> Shared:
    made = Shared()
    made.rows[ID] = Key(id=ID, name="n", scopes=("read",), digest=keys.digest_of(TEXT), created=1)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def server(shared: Shared, clock: Clock) -> Access:
    return Access(shared, now=clock.now, clock=clock)


async def test_a_key_opens_what_it_is_for(shared: Shared, clock: Clock) -> None:
    access = server(shared, clock)
    caller = await access.caller(TEXT)
    assert caller.allowed(["read"])
    assert not caller.allowed(["ingest"])
    assert not caller.allowed(["admin"])
    assert OWNER.allowed(["admin"])
    for other in (TEXT[:-1] + "!", keys.minted()[0], "x", "é\udc80"):
        with pytest.raises(BadKey) as caught:
            await access.caller(other)
        assert TEXT not in str(caught.value)


async def test_a_revocation_elsewhere_holds_within_the_age_of_a_copy(shared: Shared, clock: Clock) -> None:
    here, there = server(shared, clock), server(shared, clock)
    await here.caller(TEXT)
    await there.revoke(ID)
    with pytest.raises(BadKey, match="was revoked"):
        await there.caller(TEXT)  # at once where it was asked for
    clock.seconds += FRESH
    with pytest.raises(BadKey, match="was revoked"):
        await here.caller(TEXT)


async def test_a_busy_server_reads_beside_its_requests(shared: Shared, clock: Clock) -> None:
    access = server(shared, clock)
    for _ in range(100):
        await access.caller(TEXT)
        await asyncio.sleep(0)
        clock.seconds += 0.1
    await access.close()
    assert 5 <= shared.reads <= 11


async def test_while_the_store_is_away_keys_hold_a_little_and_then_nobody_is_let_in(
    shared: Shared, clock: Clock
) -> None:
    access = server(shared, clock)
    await access.caller(TEXT)
    shared.away = True
    clock.seconds += HELD - 0.01
    await access.caller(TEXT)
    clock.seconds += 0.01
    with pytest.raises(StoreUnavailable):
        await access.caller(TEXT)
    assert await access.exists()  # that does not change any more
    shared.away = False
    assert (await access.caller(TEXT)).scopes == ("read",)


async def test_a_server_that_has_never_read_the_keys_lets_nobody_in(shared: Shared, clock: Clock) -> None:
    shared.away = True
    access = server(shared, clock)
    with pytest.raises(StoreUnavailable):
        await access.exists()
    with pytest.raises(StoreUnavailable):
        await access.caller(TEXT)


async def test_a_key_expires_in_its_microsecond(shared: Shared, clock: Clock) -> None:
    shared.rows[ID] = Key(**{**_fields(shared.rows[ID]), "expires": clock.now() + 1_000_000})  # type: ignore[arg-type]
    access = server(shared, clock)
    await access.caller(TEXT)
    clock.seconds += 1
    with pytest.raises(BadKey, match="has expired"):
        await access.caller(TEXT)


async def test_the_last_use_is_noted_once_a_minute(shared: Shared, clock: Clock) -> None:
    access = server(shared, clock)
    for _ in range(130):
        await access.caller(TEXT)
        clock.seconds += 1
    await access.close()
    assert len(shared.touched) == 3


async def test_only_the_first_key_can_be_given(shared: Shared, clock: Clock) -> None:
    own = "0123456789-an-own-random-text"
    with_keys = server(shared, clock)
    assert not await with_keys.bootstrap(own)
    shared.rows.clear()
    fresh = server(shared, clock)
    assert not await fresh.exists()
    assert await fresh.bootstrap(own)
    assert (await fresh.caller(own)).allowed(["admin"])
    await fresh.revoke(keys.id_of(own))
    again = server(shared, clock)
    assert not await again.bootstrap(own)  # a revoked key does not come back with a restart
    assert await again.exists()
    assert not await again.opens(own)


async def test_a_read_that_began_before_a_revocation_does_not_undo_it(shared: Shared, clock: Clock) -> None:
    access = server(shared, clock)
    began, go_on = asyncio.Event(), asyncio.Event()
    read = shared.all

    async def slow() -> list[Key]:
        found = await read()
        began.set()
        await go_on.wait()
        return found

    await access.caller(TEXT)
    clock.seconds += 1.5
    shared.all = slow  # type: ignore[method-assign]
    await access.caller(TEXT)
    await began.wait()
    clock.seconds += 0.1
    await access.revoke(ID)
    go_on.set()
    await access.close()
    with pytest.raises(BadKey):
        await access.caller(TEXT)
