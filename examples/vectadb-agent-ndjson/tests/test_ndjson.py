"""What every sink promises, on an HTTP server that takes lines."""

import json

import pytest

from vectadb_agent.testing import SinkContract
from vectadb_agent.testing.peer import Reply, peer
from vectadb_agent_ndjson import NdjsonConfig, NdjsonSink


class TestNdjson(SinkContract):
    @pytest.fixture(autouse=True)
    def _taker(self):
        self.ids, self.failures, self.refused = [], [], None
        with peer(self.answer) as self.url:
            yield

    def answer(self, request):
        if self.failures:
            return self.failures.pop()
        ids = [json.loads(line)["event_id"] for line in request.body.splitlines()]
        if len(ids) > 5:
            return Reply(413)
        if self.refused in ids:
            return Reply(422, f"not {self.refused}".encode())
        self.ids += ids
        return Reply(204)

    def sink(self):
        return NdjsonSink(NdjsonConfig(type="ndjson", url=self.url))

    def stored(self):
        return self.ids

    def fail(self, times):
        self.failures = [Reply(429, headers={"Retry-After": "0"}), Reply(500), Reply(401)][:times]
        return True

    def refuse(self, event_id):
        self.refused = event_id
        return True
