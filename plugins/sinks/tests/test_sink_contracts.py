"""The suite that third-party sinks pass, on ours (``vectadb``: in ``tests/contract``, on the real server)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vectadb_agent.testing import SinkContract
from vectadb_agent_sinks import FileSink, StdoutSink

if TYPE_CHECKING:
    from vectadb_agent import Sink


class TestFile(SinkContract):
    def sink(self) -> Sink:
        return FileSink(FileSink.Config(type="file", path=self._folder / "events.ndjson"))

    def stored(self) -> list[str]:
        return [json.loads(line)["event_id"] for line in (self._folder / "events.ndjson").read_text().splitlines()]


class TestStdout(SinkContract):
    @pytest.fixture(autouse=True)
    def _capture(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._printed, self._captured = b"", capfdbinary

    def sink(self) -> Sink:
        return StdoutSink(StdoutSink.Config.model_validate({"type": "stdout", "format": "json"}))

    def stored(self) -> list[str]:
        self._printed += self._captured.readouterr().out
        return [json.loads(line)["event_id"] for line in self._printed.splitlines()]
