"""Who may ask what: every route, walked, and what is around it, over engines in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import uuid
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import msgspec
import pytest
from litestar import Litestar, get

from vectadb_server import keys
from vectadb_server.access import Access
from vectadb_server.app import application, routes
from vectadb_server.keys import Key
from vectadb_server.limits import Bucket, Lease, Limiter, leased
from vectadb_server.routes import page
from vectadb_server.routes.enforce import Undeclared, check_declared, scopes_of
from vectadb_server.settings import Origins
from vectadb_server.signins import COOKIE, SignIn, SignIns
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vectadb_server.services import Services

pytestmark = pytest.mark.anyio
TIME = "2026-01-31T12:00:00Z"
TEXTS = {scope: keys.minted()[0] for scope in keys.SCOPES}
EVENT = {"timestamp": TIME, "raw": "x"}
#: What a route takes, where that is not nothing.
BODIES: dict[str, Any] = {
    "/api/v1/events": EVENT,
    "/api/v1/events/batch": {"events": [EVENT]},
    "/api/v1/events/missing": {"records": [{"event_id": str(uuid.uuid4()), "timestamp": TIME}]},
    "/api/v1/search": {"query": "x"},
    "/api/v1/agents/reports": {"agent": "a", "version": "1"},
    "/api/v1/auth/session": {"key": TEXTS["read"]},
    "/api/v1/auth/keys": {"name": "n", "scopes": ["read"]},
}


class Held:
    """The keys of the record store, in memory."""

    def __init__(self, *some: Key) -> None:
        self.rows = {key.id: key for key in some}
        self.away = False

    async def all(self) -> list[Key]:
        if self.away:
            raise StoreUnavailable("the record is away")
        return list(self.rows.values())

    async def add(self, key: Key) -> None:
        self.rows[key.id] = key

    async def revoke(self, key_id: str, now: int) -> Key | None:
        return self.rows.get(key_id)

    async def touch(self, key_id: str, now: int) -> None:
        return


class HeldSignIns:
    """The sign-ins of the record store, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, SignIn] = {}
        self.finds = 0

    async def find(self, digest: str) -> SignIn | None:
        self.finds += 1
        return self.rows.get(digest)

    async def add(self, made: SignIn, now: int) -> None:
        self.rows[made.digest] = made

    async def remove(self, digest: str) -> None:
        self.rows.pop(digest, None)


class Buckets:
    """Buckets whose clock stands still."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, ...], Bucket] = {}

    async def lease(self, name: list[str], rate: float, *, spent: float, wanted: float) -> Lease:
        self.held[tuple(name)], lease = leased(self.held.get(tuple(name)), 0, rate, spent=spent, wanted=wanted)
        return lease


def key(scope: str, **more: Any) -> Key:
    text = TEXTS[scope]
    fields = {"name": scope, "scopes": (scope,), "digest": keys.digest_of(text), "created": 1, **more}
    return Key(id=keys.id_of(text), **fields)


@pytest.fixture
def held() -> Held:
    return Held(*map(key, keys.SCOPES))


@pytest.fixture
def held_sign_ins() -> HeldSignIns:
    return HeldSignIns()


@pytest.fixture
def keyed_of(
    services_of: Callable[..., Services], held: Held, held_sign_ins: HeldSignIns
) -> Callable[..., httpx.AsyncClient]:
    def make(*, client: tuple[str, int] | None = ("10.1.2.3", 5), **changed: Any) -> httpx.AsyncClient:
        access = Access(held, Limiter(Buckets(), lambda: 0.0))
        services = dataclasses.replace(services_of(**changed), access=access, sign_ins=SignIns(held_sign_ins))
        transport = httpx.ASGITransport(application(services), raise_app_exceptions=False, client=client)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://vectadb.example")

    return make


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TEXTS[scope]}"}


def walked(app: Litestar) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for route in app.routes:
        for handler in route.route_handlers:  # type: ignore[union-attr]
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                yield method, route.path, scopes_of(handler)


async def test_every_route_is_refused_without_the_right_scope(services_of: Any, keyed_of: Any) -> None:
    found = list(walked(routes(services_of())))
    assert len(found) >= 22
    public = {path for _, path, scopes in found if scopes == ("public",)}
    shown = {path for path in public if not path.startswith("/schema")}
    of_the_page = {*page.VIEWS, "/assets/{name:str}"}
    assert shown == {*of_the_page, "/health", "/health/ready", "/api/v1/auth/me", "/api/v1/auth/session"}
    async with keyed_of() as client:
        for method, path, scopes in found:
            asked = {"method": method, "url": re.sub(r"\{\w+(:\w+)?\}", str(uuid.uuid4()), path)}
            if path in BODIES and method == "POST":
                asked["json"] = BODIES[path]
            reply = await client.request(**asked)
            if "public" in scopes:
                assert reply.status_code in (200, 404), (method, path, reply.text)
                client.cookies.clear()
                continue
            assert reply.status_code == 401, (method, path)
            assert reply.headers["www-authenticate"] == 'Bearer realm="vectadb"'
            unknown = keys.minted()[0]
            reply = await client.request(**asked, headers={"X-API-Key": unknown})
            assert reply.status_code == 401, (method, path)
            assert unknown not in reply.text
            assert 'error="invalid_token"' in reply.headers["www-authenticate"]
            for scope in keys.SCOPES:
                reply = await client.request(**asked, headers=bearer(scope))
                if scope in scopes or scope == "admin":
                    # Nothing here is followed: there is no indexer.
                    let_in = (503,) if path.endswith("/stream") else (200, 201, 404)
                    assert reply.status_code in let_in, (method, path, scope, reply.text)
                else:
                    assert reply.status_code == 403, (method, path, scope)
                    assert f"the scope {' or '.join(scopes)}" in reply.json()["message"]
                    assert f"has {scope}" in reply.json()["message"]


async def test_the_head_of_every_route_is_given_to_whom_the_whole_is(services_of: Any, keyed_of: Any) -> None:
    found = [path for method, path, _ in walked(routes(services_of())) if method == "GET"]
    assert len(found) >= 20
    async with keyed_of() as client:
        for path in found:
            url = re.sub(r"\{\w+(:\w+)?\}", str(uuid.uuid4()), path)
            for headers in ({}, *map(bearer, keys.SCOPES)):
                whole, head = await client.get(url, headers=headers), await client.head(url, headers=headers)
                assert head.status_code == whole.status_code, (path, headers)
                assert head.content == b""
                for name in ("content-type", "www-authenticate", "content-security-policy", "cache-control"):
                    assert head.headers.get(name) == whole.headers.get(name), (path, name)
        only_posted = await client.head("/api/v1/search", headers=bearer("read"))
        assert (only_posted.status_code, only_posted.content) == (405, b"")


async def test_every_route_takes_the_cookie_of_a_sign_in_and_changes_only_what_our_own_page_asks_for(
    services_of: Any, keyed_of: Any
) -> None:
    found = [each for each in walked(routes(services_of())) if "public" not in each[2]]
    for scope in keys.SCOPES:
        async with keyed_of() as client:
            own = str(client.base_url).rstrip("/")
            assert (await sign_in(client, scope)).status_code == 200
            for method, path, scopes in found:
                asked = {"method": method, "url": re.sub(r"\{\w+(:\w+)?\}", str(uuid.uuid4()), path)}
                if path in BODIES and method == "POST":
                    asked["json"] = BODIES[path]
                reply = await client.request(**asked, headers={"Origin": own})
                wanted = (200, 201, 404, 503) if scope in scopes or scope == "admin" else (403,)
                assert reply.status_code in wanted, (method, path, scope, reply.text)
                if method != "GET":
                    for headers in ({}, {"Origin": "null"}, {"Origin": "http://other.vectadb.example"}):
                        reply = await client.request(**asked, headers=headers)
                        assert reply.status_code == 403, (method, path, headers)
                        assert "may " in reply.json()["message"]


async def sign_in(client: httpx.AsyncClient, scope: str, **headers: str) -> httpx.Response:
    return await client.post("/api/v1/auth/session", json={"key": TEXTS[scope]}, headers=headers)


async def test_signing_in_and_out(keyed_of: Any, held: Held, held_sign_ins: HeldSignIns) -> None:
    async with keyed_of() as client:
        stranger = (await client.get("/api/v1/auth/me")).json()
        assert (stranger["keys_needed"], stranger["scopes"], stranger["signed_in"]) == (True, [], False)
        by_key = (await client.get("/api/v1/auth/me", headers=bearer("ingest"))).json()
        assert (by_key["scopes"], by_key["key_name"], by_key["signed_in"]) == (["ingest"], "ingest", False)
        reply = await sign_in(client, "read")
        cookie = reply.headers["set-cookie"]
        assert cookie.endswith("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict")
        token = client.cookies[COOKIE]
        assert token not in reply.text
        assert TEXTS["read"] not in f"{token}{reply.text}{held_sign_ins.rows}"
        me = (await client.get("/api/v1/auth/me")).json()
        assert (me["scopes"], me["key_name"], me["signed_in"]) == (["read"], "read", True)
        assert (await client.get("/api/v1/traces")).status_code == 200
        reply = await client.get("/api/v1/traces", headers={"X-API-Key": keys.minted()[0]})
        assert reply.status_code == 401  # what is said outright counts, not the cookie
        other = (await client.delete("/api/v1/auth/session")).headers["set-cookie"]
        assert f"{COOKIE}=; Path=/; Max-Age=0" in other
        assert not held_sign_ins.rows
        reply = await client.get("/api/v1/traces", headers={"Cookie": f"{COOKIE}={token}"})
        assert (reply.status_code, "sign in again" in reply.json()["message"]) == (401, True)
        assert "Secure" in (await sign_in(client, "read", Origin="https://vectadb.example")).headers["set-cookie"]
    async with keyed_of() as client:
        for body, status in (
            ({"key": keys.minted()[0]}, 401),
            ({"key": ""}, 422),
            ({"key": "x" * 600}, 422),
            ({"keys": "x"}, 422),
            ({"key": "x" * 5_000}, 413),
            ("no object", 422),
        ):
            reply = await client.post("/api/v1/auth/session", json=body)
            assert reply.status_code == status, reply.text
            assert "set-cookie" not in reply.headers
        for wrong in ("x", f"vds_{keys.minted()[1]}_{token[-32:]}", token[:-1]):
            reply = await client.get("/api/v1/traces", headers={"Cookie": f"a=b; {COOKIE}={wrong}"})
            assert reply.status_code == 401
        finds = held_sign_ins.finds
        await client.get("/api/v1/traces", headers={"Cookie": f"{COOKIE}=vds_{keys.minted()[1]}_{token[-32:]}"})
        assert held_sign_ins.finds == finds, "looked up, though its key is not known"


async def test_a_sign_in_ends_with_its_key_and_in_time(
    keyed_of: Any, held: Held, held_sign_ins: HeldSignIns, monkeypatch: Any
) -> None:
    async with keyed_of() as client:
        await sign_in(client, "read")
        row = held.rows[keys.id_of(TEXTS["read"])]
        assert (await client.get("/api/v1/traces")).status_code == 200
        held.rows[row.id] = msgspec.structs.replace(row, revoked=1)
        monkeypatch.setattr("vectadb_server.access.FRESH", 0.0)
        monkeypatch.setattr("vectadb_server.access._RENEWED", 0.0)
        reply = await client.get("/api/v1/traces")
        assert (reply.status_code, "was revoked" in reply.json()["message"]) == (401, True)
        held.rows[row.id] = row
        assert (await client.get("/api/v1/traces")).status_code == 200
        [(digest, kept)] = held_sign_ins.rows.items()
        held_sign_ins.rows[digest] = msgspec.structs.replace(kept, expires=1)
        monkeypatch.setattr("vectadb_server.signins.FRESH", 0.0)
        reply = await client.get("/api/v1/traces")
        assert (reply.status_code, "has expired" in reply.json()["message"]) == (401, True)


async def test_without_keys_nobody_signs_in(fake: Any) -> None:
    reply = await fake.post("/api/v1/auth/session", json={"key": TEXTS["read"]})
    assert (reply.status_code, "set-cookie" in reply.headers) == (409, False)
    me = (await fake.get("/api/v1/auth/me")).json()
    assert (me["keys_needed"], me["scopes"]) == (False, ["ingest", "read", "admin"])


async def test_what_declares_nothing_does_not_start() -> None:
    @get("/x")
    async def handler() -> str:
        return ""

    @get("/x", opt={"scope": "everything"})
    async def wrong() -> str:
        return ""

    for undeclared in (handler, wrong):
        with pytest.raises(Undeclared, match="found scope"):
            check_declared(Litestar([undeclared], openapi_config=None))


async def test_a_key_in_either_header(keyed_of: Any) -> None:
    async with keyed_of() as client:
        text, other = TEXTS["read"], TEXTS["admin"]
        for headers in (
            {"X-API-Key": text},
            {"Authorization": f"bearer  {text} "},
            {"X-API-Key": text, "Authorization": f"Bearer {text}"},
            {"X-API-Key": text, "Authorization": "Basic abc"},
        ):
            assert (await client.get("/api/v1/traces", headers=headers)).status_code == 200
        both = {"X-API-Key": text, "Authorization": f"Bearer {other}"}
        reply = await client.get("/api/v1/traces", headers=both)
        assert reply.status_code == 400
        assert "differ" in reply.json()["message"]
        for value in ("", "Bearer", "Bearer ", "Basic abc"):
            assert (await client.get("/api/v1/traces", headers={"Authorization": value})).status_code == 401
        assert (await client.get(f"/api/v1/traces?api_key={text}")).status_code in (400, 401)


async def test_strangers_learn_nothing_from_the_health_routes(keyed_of: Any, memory: Any, held: Held) -> None:
    memory.failing["lag"] = StoreUnavailable("/secret/path is gone")
    async with keyed_of() as client:
        stranger = (await client.get("/health/ready")).json()
        assert stranger["engines"] == {
            "record": {"status": "ok"},
            "search": {"status": "ok"},
            "indexer": {"status": "unavailable"},
        }
        known = (await client.get("/health/ready", headers=bearer("read"))).json()
        assert "/secret/path" in known["engines"]["indexer"]["error"]
        assert (await client.get("/metrics")).status_code == 401
        held.away = True
    async with keyed_of() as client:  # a server that has never seen the keys
        client.headers["Host"] = "127.0.0.1"
        assert (await client.get("/health")).status_code == 200
        assert "error" not in (await client.get("/health/ready", headers=bearer("read"))).text
        reply = await client.get("/api/v1/traces", headers=bearer("admin"))
        assert reply.status_code == 503
        assert reply.headers["retry-after"]


async def test_keys_are_made_listed_and_told_once(keyed_of: Any, held: Held) -> None:
    async with keyed_of() as client:
        wanted = {"name": " agent ", "scopes": ["read", "ingest"], "expires": "30d", "max_events_per_second": 5}
        reply = await client.post("/api/v1/auth/keys", json=wanted, headers=bearer("admin"))
        assert reply.status_code == 201
        assert reply.headers["cache-control"] == "no-store"
        made = reply.json()
        assert made["key"].split("_")[1] == made["id"]
        assert (made["name"], made["scopes"], made["max_events_per_second"]) == ("agent", ["ingest", "read"], 5)
        assert held.rows[made["id"]].expires == held.rows[made["id"]].created + 30 * 86_400_000_000
        listed = await client.get("/api/v1/auth/keys", headers=bearer("admin"))
        assert len(listed.json()["keys"]) == 4
        assert made["key"] not in listed.text
        assert "digest" not in listed.text
        assert (await client.get("/api/v1/traces", headers={"X-API-Key": made["key"]})).status_code == 200
        for body, status in (
            ({"name": "", "scopes": ["read"]}, 422),
            ({"name": "a\nb", "scopes": ["read"]}, 422),
            ({"name": "n", "scopes": []}, 422),
            ({"name": "n", "scopes": ["root"]}, 422),
            ({"name": "n", "scopes": ["read"], "expires": "2020-01-01"}, 422),
            ({"name": "n", "scopes": ["read"], "expires": "soon"}, 422),
            ({"name": "n", "scopes": ["read"], "max_requests_per_second": 0}, 422),
            ({"name": "n", "scopes": ["read"], "scope": "x"}, 422),
            ({"name": "n" * 70_000, "scopes": ["read"]}, 413),
        ):
            assert (await client.post("/api/v1/auth/keys", json=body, headers=bearer("admin"))).status_code == status
        for odd in ("nosuchkey000", "..", "a" * 500, "%00", "api_key:x"):
            reply = await client.delete(f"/api/v1/auth/keys/{odd}", headers=bearer("admin"))
            assert reply.status_code in (404, 405)


async def test_limits_of_a_key(keyed_of: Any, held: Held) -> None:
    read, ingest = key("read", max_requests_per_second=3), key("ingest", max_events_per_second=10)
    held.rows |= {read.id: read, ingest.id: ingest}
    async with keyed_of() as client:
        replies = [await client.get("/api/v1/traces", headers=bearer("read")) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200] * 3 + [429] * 2
        assert replies[-1].headers["retry-after"] == "1"
        assert "3 requests a second" in replies[-1].json()["message"]
        batch = {"events": [EVENT] * 25}
        reply = await client.post("/api/v1/events/batch", json=batch, headers=bearer("ingest"))
        assert reply.status_code == 200
        # What is owed is 15, and one more has to be there; and that is told before the body is looked at.
        reply = await client.post("/api/v1/events/batch", content=b"no JSON", headers=bearer("ingest"))
        assert reply.status_code == 429
        assert reply.headers["retry-after"] == "2"
        assert (await client.get("/api/v1/traces", headers=bearer("admin"))).status_code == 200
    async with keyed_of(max_requests_per_second=1.0) as client:
        replies = [await client.get("/api/v1/traces", headers=bearer("admin")) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 429, 429]


async def test_without_a_key_this_machine_alone(fake: Any, services_of: Any) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
    ):
        for path in ("/api/v1/traces", "/metrics", "/"):
            assert (await fake.get(path, headers=headers)).status_code == 403, headers
    for headers in ({"Host": "localhost:1"}, {"Host": "[::1]:1"}, {"Origin": "http://localhost:3000"}):
        assert (await fake.get("/api/v1/traces", headers=headers)).status_code == 200
    made = services_of(host="0.0.0.0", insecure=True)
    transport = httpx.ASGITransport(application(made), client=("10.0.0.9", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://any.example") as client:
        assert (await client.get("/api/v1/traces")).status_code == 200
        for method, path in (("GET", "/api/v1/auth/keys"), ("POST", "/api/v1/admin/reindex")):
            assert (await client.request(method, path)).status_code == 403


async def test_headers_of_every_reply(keyed_of: Any) -> None:
    async with keyed_of() as client:
        for path in ("/health", "/api/v1/traces", "/nothing", "/schema/openapi.json"):
            reply = await client.get(path, headers=bearer("read"))
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["x-frame-options"] == "DENY"
            assert reply.headers["referrer-policy"] == "no-referrer"
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert "access-control-allow-origin" not in reply.headers
        shown = await client.get("/")
        assert len(shown.headers.get_list("content-security-policy")) == 1
        assert "script-src 'self'" in shown.headers["content-security-policy"]


async def test_pages_of_other_origins(keyed_of: Any) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    friend, stranger = "https://app.example", "https://app.example.evil"
    async with keyed_of() as client:
        reply = await client.options("/api/v1/search", headers={"Origin": friend, **asks})
        assert "access-control-allow-origin" not in reply.headers
        reply = await client.post("/api/v1/search", json={"query": "x"}, headers={"Origin": friend, **bearer("read")})
        assert reply.status_code == 403
    async with keyed_of(cors_origins=Origins([friend])) as client:
        reply = await client.options("/api/v1/search", headers={"Origin": friend, **asks})
        assert reply.status_code == 204
        assert reply.headers["access-control-allow-origin"] == friend
        assert "authorization" in reply.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in reply.headers
        reply = await client.post("/api/v1/search", json={"query": "x"}, headers={"Origin": friend, **bearer("read")})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, friend)
        assert reply.headers["vary"] == "Origin"
        reply = await client.get("/api/v1/traces", headers={"Origin": friend})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, friend)
        reply = await client.options("/api/v1/search", headers={"Origin": stranger, **asks})
        assert "access-control-allow-origin" not in reply.headers


async def test_no_read_runs_for_ever(keyed_of: Any, memory: Any, monkeypatch: Any) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await anyio.sleep_forever()

    monkeypatch.setattr(memory, "trace_page", never)
    async with keyed_of(read_timeout=0.01) as client:
        reply = await client.get("/api/v1/traces", headers=bearer("read"))
        assert (reply.status_code, reply.json()["error"]) == (503, "timeout")
        assert "no answer within 0.01 s" in reply.json()["message"]
        assert reply.headers["retry-after"] == "1"


async def test_reads_beyond_what_may_be_are_turned_away_at_once(keyed_of: Any, memory: Any, monkeypatch: Any) -> None:
    entered, gate, read = anyio.Event(), anyio.Event(), memory.trace_page

    async def slow(*given: Any, **named: Any) -> Any:
        entered.set()
        await gate.wait()
        return await read(*given, **named)

    monkeypatch.setattr(memory, "trace_page", slow)
    async with keyed_of(max_read_requests=1) as client:
        first = asyncio.create_task(client.get("/api/v1/traces", headers=bearer("read")))
        await entered.wait()
        reply = await client.get("/api/v1/stats", headers=bearer("read"))
        assert (reply.status_code, reply.json()["error"]) == (503, "overloaded")
        assert reply.headers["retry-after"] == "1"
        assert (await client.get("/metrics", headers=bearer("read"))).status_code == 200
        taken = await client.post("/api/v1/events", json=EVENT, headers=bearer("ingest"))
        assert taken.status_code == 200
        gate.set()
        assert (await first).status_code == 200
        assert (await client.get("/api/v1/stats", headers=bearer("read"))).status_code == 200
