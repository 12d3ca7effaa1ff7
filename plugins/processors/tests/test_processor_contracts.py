"""The suite that third-party processors pass, on ours."""

from __future__ import annotations

from typing import ClassVar

from vectadb_agent.testing import ProcessorContract
from vectadb_agent_processors import DropProcessor, RedactProcessor, SampleProcessor, SetProcessor


class TestRedact(ProcessorContract):
    processor = RedactProcessor
    good = (
        ({"raw": "mail ann@example.com"}, {"raw": "mail [email]"}),
        ({"properties": {"password": "x", "n": 1}}, {"properties": {"password": "[key]", "n": 1}}),
    )


class TestRedactByHash(TestRedact):
    options: ClassVar = {"replacement": "hash", "salt": "0123456789abcdef"}
    good = (({"raw": "mail ann@example.com"}, {"raw": "mail [email:9f70eb4f1d9f]"}),)


class TestSample(ProcessorContract):
    processor = SampleProcessor
    options: ClassVar = {"keep": 0}
    good = (({"trace_id": "t"}, None), ({"event_type": "error", "raw": "no"}, {"raw": "no"}))


class TestDrop(ProcessorContract):
    processor = DropProcessor
    options: ClassVar = {"when": {"levels": ["debug"]}}
    good = (({"properties": {"level": "DEBUG"}}, None), ({"raw": "kept"}, {"raw": "kept"}))


class TestSet(ProcessorContract):
    processor = SetProcessor
    options: ClassVar = {"properties": {"env": "prod"}, "agent_id": "shop"}
    good = (({}, {"properties": {"env": "prod"}, "agent_id": "shop"}),)
