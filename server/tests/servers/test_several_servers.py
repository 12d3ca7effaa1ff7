"""Several servers on one record: together they are as one, and one of them indexes."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Server, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engines.surreal import Engine

TRACES = "/api/v1/traces"
ONE = "00000000-0000-4000-8000-000000000001"


def lines(first: int, count: int, trace: str | None = None, day: int = 2) -> list[dict[str, Any]]:
    """Lines of one log stream, all of one trace or each of its own, a second apart."""
    return [
        {
            "timestamp": f"2026-01-{day:02}T12:{number // 60 % 60:02}:{number % 60:02}Z",
            "event_type": "log",
            "trace_id": trace or f"t{number}",
            "raw": f"line {number}",
            "source": {
                "system": "cloudwatch",
                "account": "1",
                "region": "us-east-1",
                "log_group": "/g",
                "log_stream": "s",
                "log_id": f"r{day}-{number}",
                "timestamp": f"2026-01-{day:02}T12:{number // 60 % 60:02}:{number % 60:02}Z",
            },
        }
        for number in range(first, first + count)
    ]


def records(server: Server) -> int:
    hours = server.get("/api/v1/events/digest", since="2026-01-01T00:00:00Z", until="2026-01-09T00:00:00Z")["hours"]
    return sum(hour["count"] for hour in hours)


def counted(server: Server, trace: str) -> int:
    """Events that the trace's summary counts; the indexer makes it."""
    found = [each for each in server.get(TRACES, limit=1000)["traces"] if each["trace_id"] == trace]
    return found[0]["events"] if found else 0


# What is tried is our servers on an engine that keeps transactions apart, as released servers' stores do.
@pytest.mark.parametrize("engine", ["isolated"], indirect=True)
def test_the_same_records_through_both_at_once_are_stored_once(servers: tuple[Server, Server]) -> None:
    batches = [lines(n, 50) for n in range(0, 400, 25)]  # Each overlaps with the next.
    taken: list[dict[str, Any]] = []

    def send(server: Server) -> None:
        taken.extend(server.send(batch) for batch in batches)

    threads = [threading.Thread(target=send, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    distinct = 425
    assert sum(each["ingested"] for each in taken) == distinct
    assert sum(each["ingested"] + each["duplicates"] for each in taken) == 2 * 50 * len(batches)
    for server in servers:
        assert records(server) == distinct
        until(lambda server=server: len(server.get(TRACES, limit=1000)["traces"]) == distinct)
    assert servers[0].get(TRACES, limit=1000) == servers[1].get(TRACES, limit=1000)


def test_what_one_has_taken_the_other_shows_at_once(servers: tuple[Server, Server]) -> None:
    """Also of days that are new to it; and the cursor of one goes on at the other."""
    holder, other = servers
    for day in range(2, 6):
        (holder if day % 2 else other).send(lines(0, 10, ONE, day))
        for server in servers:
            assert len(server.get("/api/v1/events", limit=1000)["events"]) == (day - 1) * 10
    seen: list[str] = []
    cursor, turn = None, 0
    while True:
        page = servers[turn % 2].get("/api/v1/events", limit=7, **({"cursor": cursor} if cursor else {}))
        seen += [event["event_id"] for event in page["events"]]
        cursor, turn = page["next_cursor"], turn + 1
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 40


def test_when_the_one_that_indexes_dies_the_other_goes_on(servers: tuple[Server, Server]) -> None:
    holder, other = servers
    other.send(lines(0, 10, ONE))
    until(lambda: counted(other, ONE) == 10)
    assert not other.indexes()
    holder.process.send_signal(signal.SIGSTOP)  # So that what follows is left undone.
    other.send(lines(10, 10, ONE))
    holder.stop(signal.SIGKILL)
    until(lambda: counted(other, ONE) == 20)
    assert other.indexes()


def test_one_that_stops_leaves_the_lease_at_once(servers: tuple[Server, Server]) -> None:
    holder, other = servers
    holder.stop(signal.SIGTERM)
    assert holder.process.returncode == 0
    other.send(lines(0, 10, ONE))
    until(lambda: counted(other, ONE) == 10)


def test_one_that_was_paused_does_no_harm_when_it_goes_on(servers: tuple[Server, Server]) -> None:
    holder, other = servers
    holder.send(lines(0, 300, ONE))
    holder.process.send_signal(signal.SIGSTOP)
    other.send(lines(300, 300, ONE))
    until(lambda: counted(other, ONE) == 600)
    assert other.indexes()
    holder.process.send_signal(signal.SIGCONT)
    until(lambda: not holder.indexes())
    holder.send(lines(600, 100, ONE))
    until(lambda: counted(holder, ONE) == 700)
    assert other.indexes()
    assert records(holder) == records(other) == 700


def test_an_engine_killed_under_load_loses_nothing_acknowledged(engine: Engine, servers: tuple[Server, Server]) -> None:
    acknowledged = [0, 0]
    ids = [ONE, ONE[:-1] + "2"]

    def send(which: int) -> None:
        for n in range(40):
            servers[which].send(lines(which * 1000 + n * 20, 20, ids[which]))
            acknowledged[which] += 20

    threads = [threading.Thread(target=send, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for after in (200, 500):
        until(lambda after=after: sum(acknowledged) >= after)
        engine.kill()
        engine.start()
    for thread in threads:
        thread.join()
    assert records(servers[0]) == records(servers[1]) == sum(acknowledged) == 1600
    for which, server in enumerate(servers):
        until(lambda server=server, which=which: counted(server, ids[which]) == 800)


def test_while_the_engine_is_away_clients_are_told_to_wait(engine: Engine, serve: Callable[[], Server]) -> None:
    server = serve()
    engine.kill()
    for path in ("/api/v1/events", TRACES, "/health/ready"):
        reply = server.client.get(path)
        assert reply.status_code == 503
        assert "retry-after" in reply.headers
    assert server.client.get("/health").status_code == 200
    engine.start()
    until(lambda: server.client.get("/api/v1/events").status_code == 200)
