from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from vectadb_server import keys
from vectadb_server.keys import Key
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.keys import KeyStore
from vectadb_server.stores.surreal import SurrealStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def made(text: str, **more: object) -> Key:
    fields = {"name": "n", "scopes": ("read",), "created": 5, "digest": keys.digest_of(text), **more}
    return Key(id=keys.id_of(text), **fields)  # type: ignore[arg-type]


def test_a_key_names_its_row_and_no_two_are_the_same() -> None:
    some = [keys.minted() for _ in range(200)]
    assert all(keys.id_of(text) == key_id and keys.is_id(key_id) for text, key_id in some)
    assert len({text for text, _ in some}) == 200
    assert all(keys.weakness(text) is None for text, _ in some)


def test_only_the_whole_key_is_it() -> None:
    text, _ = keys.minted()
    key = made(text)
    assert key.digest == hashlib.sha256(text.encode()).hexdigest()
    assert key.is_text(text)
    for other in (text[:-1], text + "a", text.swapcase(), "", key.digest, text.rpartition("_")[0] + "_"):
        assert not key.is_text(other)


def test_admin_holds_the_others() -> None:
    admin, read = made("x", scopes=("admin",)), made("x")
    assert all(admin.allows(scope) for scope in keys.SCOPES)
    assert [read.allows(scope) for scope in keys.SCOPES] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "found 5 characters; expected 24 to 512"),
        ("x" * 600, "found 600 characters"),
        ("a" * 30, "found only 1 different characters"),
        ("correct horse battery staple", "without spaces"),
        ("пароль-пароль-пароль-пароль", "printable ASCII"),
    ],
)
def test_weak_keys(text: str, said: str) -> None:
    weakness = keys.weakness(text)
    assert weakness is not None
    assert said in weakness
    assert text not in weakness


def _everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_rows_hold_no_secret_and_stay(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    kept = KeyStore(store.segments)
    text, key_id = keys.minted()
    own = "an-operators-own-random-0123456789"
    first = made(text, expires=9, max_events_per_second=2.5, scopes=("ingest", "read"))
    try:
        assert await kept.all() == []
        await kept.add(first)
        await kept.add(made(own))
        with pytest.raises(Conflict):
            await kept.add(made(text, name="again"))
        await kept.touch(key_id, 70)
        await kept.touch(key_id, 60)
        assert (await kept.revoke(key_id, 80)) is not None
        revoked = await kept.revoke(key_id, 90)
        assert revoked is not None
        assert (revoked.revoked, revoked.used) == (80, 70)
        assert await kept.revoke("nosuchkey000", 1) is None
    finally:
        await store.close()
    held = _everything(tmp_path)
    assert key_id.encode() in held
    assert text.encode() not in held
    assert text.rpartition("_")[2].encode() not in held
    assert own.encode() not in held
    store = await SurrealStore.open(tmp_path)
    try:
        again = {key.id: key for key in await KeyStore(store.segments).all()}
        assert again[key_id] == revoked
        assert again[keys.id_of(own)].digest == keys.digest_of(own)
    finally:
        await store.close()
