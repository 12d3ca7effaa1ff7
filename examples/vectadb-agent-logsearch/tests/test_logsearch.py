"""What every source promises, on an API with moods: rate limits, outages, cursors that run out."""

import itertools
import json
import time
from datetime import UTC, datetime

import anyio
import pytest

from vectadb_agent.testing import FakeClock, MemoryCheckpoints, SourceContract
from vectadb_agent.testing.peer import Reply, peer
from vectadb_agent_logsearch import LogSearchConfig, LogSearchSource


class Api:
    """Seven records, two a page; ``replies`` go before what it would answer."""

    def __init__(self):
        self.replies, self.asked, self.good_cursors = [], [], {}
        began = time.time() - 600
        self.logs = [
            {
                "id": f"id-{n}",
                "attributes": {
                    "timestamp": datetime.fromtimestamp(began + n, UTC).isoformat(),
                    "message": f"line {n}",
                    "service": f"s{n % 2}",
                },
            }
            for n in range(7)
        ]

    def __call__(self, request):
        asked = json.loads(request.body)
        self.asked.append(asked)
        if self.replies:
            return self.replies.pop(0)
        at, cursor = 0, asked["page"].get("cursor")
        if cursor is not None:
            if cursor not in self.good_cursors:
                return Reply(400, {"errors": ["cursor expired"]})
            at = self.good_cursors[cursor]
        low, high = int(asked["filter"]["from"]) / 1000, int(asked["filter"]["to"]) / 1000
        found = [
            log
            for log in self.logs
            if low <= datetime.fromisoformat(log["attributes"]["timestamp"]).timestamp() <= high
        ]
        end = at + asked["page"]["limit"]
        more = {"after": f"cursor-{end}"} if end < len(found) else {}
        self.good_cursors |= dict.fromkeys(more.values(), end)
        return Reply(200, {"data": found[at:end], "meta": {"page": more}})


class TestLogSearch(SourceContract):
    @pytest.fixture(autouse=True)
    def _api(self, monkeypatch):
        self.api, self.clock = Api(), FakeClock()
        monkeypatch.setattr("vectadb_agent_logsearch.anyio.sleep", self.clock.sleep)
        with peer(self.api) as self.url:
            yield

    def source(self):
        return LogSearchSource(LogSearchConfig(type="logsearch", url=self.url, page_size=2, api_key="k"))

    def broken(self):
        self.api.replies = [Reply(403)]
        return self.source()

    def messages(self, saved):
        return [record.message for batch in anyio.run(self._from, saved) for record in batch.records]

    def test_limits_and_outages_are_waited_for(self):
        self.api.replies = [Reply(429, headers={"X-RateLimit-Reset": "7"}), Reply(503), Reply(500)]
        assert self.messages({}) == [f"line {n}" for n in range(7)]
        assert self.clock.slept == [7, 2, 4]

    def test_a_cursor_that_ran_out_begins_its_round_anew(self):
        saved = MemoryCheckpoints()
        for batch in itertools.islice(anyio.run(self._all), 2):
            saved.settle(batch)
        assert "cursor" in saved["*"]
        self.api.good_cursors.clear()
        assert self.messages(saved) == [f"line {n}" for n in range(7)]

    def test_what_became_visible_late_is_found(self):
        saved = MemoryCheckpoints()
        for batch in anyio.run(self._all):
            saved.settle(batch)
        late = {"timestamp": datetime.fromtimestamp(time.time() - 30, UTC).isoformat(), "message": "late"}
        self.api.logs.append({"id": "late", "attributes": late})
        assert self.messages(saved) == ["late"]
