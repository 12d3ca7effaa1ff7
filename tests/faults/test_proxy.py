"""The fault proxy: what each fault looks like to a client, and what the server behind it has seen."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_agent.testing.proxy import PASS, Fault, FaultProxy, Request, always, in_thread, in_turn, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got, as chunks where the path asks for that."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self.path)
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            step = 3 if len(body) < 1_000 else 997
            for start in range(0, len(body), step):
                chunk = body[start : start + step]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def proxy(seen: list[str]) -> Iterator[FaultProxy]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Echo,), {"seen": seen})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        made = FaultProxy("127.0.0.1", server.server_port)
        with in_thread(made) as portal:
            made.portal = portal  # type: ignore[attr-defined]
            yield made
        server.shutdown()


@pytest.fixture
def portal(proxy: FaultProxy) -> BlockingPortal:
    found: BlockingPortal = proxy.portal  # type: ignore[attr-defined]
    return found


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/chunks"])
def test_it_passes_messages_byte_by_byte_and_keeps_the_connection(
    proxy: FaultProxy, client: httpx.Client, path: str
) -> None:
    for size in (0, 10, 200_000):
        body = b"x" * size
        assert client.post(path, content=body).content == body
    assert [(request.method, request.path, request.status) for request in proxy.requests] == [("POST", path, 200)] * 3
    assert [request.number for request in proxy.requests] == [0, 1, 2]
    assert proxy.requests[2].size > 200_000


@pytest.mark.parametrize(
    ("fault", "reaches_the_server"),
    [(Fault("cut_before"), False), (Fault("cut_after"), True), (Fault("half_reply"), True)],
)
def test_cut_connections(
    proxy: FaultProxy, client: httpx.Client, seen: list[str], fault: Fault, reaches_the_server: bool
) -> None:
    proxy.plan = in_turn(fault)
    with pytest.raises(httpx.TransportError):
        client.post("/first", content=b"x" * 100)
    assert client.post("/second", content=b"x").status_code == 200
    assert seen == (["/first", "/second"] if reaches_the_server else ["/second"])
    assert [request.act for request in proxy.requests] == [fault.act, "pass"]


def test_it_answers_itself(proxy: FaultProxy, client: httpx.Client, seen: list[str]) -> None:
    proxy.plan = in_turn(Fault("answer", status=429, retry_after=7), Fault("answer", status=413), path="/a")
    assert client.post("/b", content=b"x").status_code == 200
    first, second = client.post("/a", content=b"x"), client.post("/a", content=b"x")
    assert (first.status_code, first.headers["retry-after"], second.status_code) == (429, "7", 413)
    assert "retry-after" not in second.headers
    assert json.loads(first.content)["message"]
    assert seen == ["/b"]


def test_a_black_hole_never_answers(proxy: FaultProxy, client: httpx.Client, seen: list[str]) -> None:
    proxy.plan = always(Fault("blackhole"))
    with pytest.raises(httpx.ReadTimeout):
        client.post("/", content=b"x", timeout=0.2)
    assert seen == []


def test_connections_are_refused_and_then_accepted_on_the_same_port(
    proxy: FaultProxy, client: httpx.Client, portal: BlockingPortal
) -> None:
    assert client.post("/", content=b"x").status_code == 200
    portal.call(proxy.refuse)
    with pytest.raises(httpx.TransportError):
        client.post("/", content=b"x")
    with pytest.raises(httpx.ConnectError):
        client.post("/", content=b"x")
    portal.call(proxy.accept)
    assert client.post("/", content=b"x").status_code == 200


def test_with_no_server_behind_it_the_connection_is_cut() -> None:
    nowhere = FaultProxy("127.0.0.1", 1)
    with in_thread(nowhere), pytest.raises(httpx.TransportError):
        httpx.post(nowhere.url, content=b"x")
    assert [request.status for request in nowhere.requests] == [0]


def test_a_seeded_plan_is_the_same_again_and_another_with_another_seed() -> None:
    def acts(seed: int) -> list[Fault]:
        plan = seeded(seed, cut_before=0.2, answer=0.2, latency=0.5, answers=(Fault("answer", status=429),))
        return [plan(Request(number, 0.0, "POST", "/", 10)) for number in range(200)]

    assert acts(1) == acts(1) != acts(2)
    found = acts(1)
    assert {fault.act for fault in found} == {"pass", "cut_before", "answer"}
    assert {fault.status for fault in found if fault.act == "answer"} == {429}
    assert 20 < sum(fault.act == "cut_before" for fault in found) < 60
    assert len({fault.delay for fault in found}) == 200
    assert PASS not in found
