from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_server import logs
from vectadb_server.app import application

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("vectadb_server", "uvicorn.error")}
    yield io.StringIO()
    root.handlers[:], level = kept
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_lines_are_json_with_what_the_call_gave(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    token = logs.request_id.set("r-1")
    logging.getLogger("vectadb_server.x").info("took %s", "é\n\ud800", extra={"count": 3, "odd": object})
    logs.request_id.reset(token)
    logging.getLogger("vectadb_server.x").debug("not this")
    [line] = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["time"].endswith("Z")
    assert (said["level"], said["logger"], said["request_id"]) == ("info", "vectadb_server.x", "r-1")
    assert said["message"] == "took é\n\\ud800"


def test_tracebacks_stay_in_their_line(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("vectadb_server").exception("failed")
    [line] = stream.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["traceback"]


def test_for_people_control_characters_are_harmless() -> None:
    record = logging.makeLogRecord({"msg": "a\x1b[2Jb\nc", "levelname": "INFO", "n": 5})
    assert logs.ForPeople(colour=False).format(record).endswith(r" info     a\x1b[2Jb\nc  (n=5)")
    assert logs.ForPeople(colour=True).format(record).count("\x1b") == 2


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.anyio
async def test_each_line_of_a_request_carries_its_ids_however_deep_it_is_written(
    stream: io.StringIO, memory: Any, services_of: Any
) -> None:
    class Telling(type(memory)):  # type: ignore[misc]
        async def ingest(self, events: Any, options: Any, among: Any = None) -> Any:
            taken = await super().ingest(events, options, among)
            await asyncio.create_task(self.beside(events[0].raw))
            return taken

        async def beside(self, text: str) -> None:
            logging.getLogger("vectadb_server.deep").info("%s", text)

    logs.set_up("debug", stream)
    services = dataclasses.replace(services_of(), taker=Telling())
    transport = httpx.ASGITransport(app=application(services))
    given = [{"x-request-id": f"r-{n}"} for n in range(8)] + [{"traceparent": PARENT}]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        replies = await asyncio.gather(
            *(
                client.post("/api/v1/events", json={"timestamp": "2026-01-31T12:00:00Z", "raw": str(n)}, headers=each)
                for n, each in enumerate(given)
            )
        )
    assert [reply.headers["x-request-id"] for reply in replies] == [*(f"r-{n}" for n in range(8)), TRACE]
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    deep = {line["message"]: line["request_id"] for line in lines if line["logger"] == "vectadb_server.deep"}
    assert deep == {**{str(n): f"r-{n}" for n in range(8)}, "8": TRACE}
    assert {line.get("trace_id") for line in lines if line["request_id"] == TRACE} == {TRACE}
    assert all("trace_id" not in line for line in lines if line["request_id"] != TRACE)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "header",
    [
        {"x-request-id": "a b"},
        {"x-request-id": "x" * 129},
        {"x-request-id": 'a"b'},
        {"x-request-id": ""},
        {"traceparent": PARENT.upper()},
        {"traceparent": f"ff-{TRACE}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": "x" * 5000},
    ],
)
async def test_an_id_that_is_none_is_replaced_by_our_own(fake: Any, header: dict[str, str]) -> None:
    reply = await fake.get("/nope", headers=header)
    assert uuid.UUID(reply.headers["x-request-id"]).version == 7
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


@pytest.mark.anyio
async def test_errors_carry_the_id(fake: Any) -> None:
    for headers, wanted in (
        ({"x-request-id": "r/1"}, "r/1"),
        ({"x-request-id": "r/1", "traceparent": PARENT}, "r/1"),
        ({"traceparent": PARENT}, TRACE),
        ({"traceparent": "01" + PARENT[2:] + "-more"}, TRACE),
    ):
        for reply in (
            await fake.get("/nope", headers=headers),
            await fake.get("/health", headers={**headers, "host": "evil.example"}),
        ):
            assert (reply.json()["request_id"], reply.headers["x-request-id"]) == (wanted, wanted)
