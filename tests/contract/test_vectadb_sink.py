"""The suite that third-party sinks pass, on the ``vectadb`` sink and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from demo import processes
from vectadb_agent.testing import SinkContract
from vectadb_agent.testing.proxy import Fault, FaultProxy, in_thread, in_turn
from vectadb_agent_sinks import VectaDBSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vectadb_agent import Event, Result


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with processes.server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy("127.0.0.1", urlsplit(server).port or 0)
    with in_thread(proxy):
        yield proxy


class Spoiling(VectaDBSink):
    """Makes one event such that no server takes it: its type is a text longer than any name."""

    spoiled = ""

    async def write(self, events: Sequence[Event]) -> Result:
        for event in events:
            if event.event_id == self.spoiled:
                event.event_type = "x" * 100_000
        return await super().write(events)


class TestVectaDB(SinkContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: str, proxy: FaultProxy) -> None:
        self._direct, self._proxy, self._spoiled = server, proxy, ""

    def sink(self) -> Spoiling:
        sink = Spoiling(Spoiling.Config(type="vectadb", endpoint=self._proxy.url))
        sink.spoiled = self._spoiled
        return sink

    def stored(self) -> list[str]:
        reply = httpx.get(f"{self._direct}/api/v1/events", params={"log_stream": self.log_stream, "limit": 1000})
        return [event["event_id"] for event in reply.raise_for_status().json()["events"]]

    def fail(self, times: int) -> bool:
        faults = [Fault("cut_after"), Fault("answer", status=503, retry_after=0), Fault("half_reply")]
        self._proxy.plan = in_turn(*faults[:times])
        return True

    def refuse(self, event_id: str) -> bool:
        self._spoiled = event_id
        return True
