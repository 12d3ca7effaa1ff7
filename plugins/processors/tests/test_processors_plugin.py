"""``sample``, ``drop`` and ``set``, and the plugin that brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from vectadb_agent_processors import DropProcessor, SampleProcessor, SetProcessor, vectadb_register_processors

if TYPE_CHECKING:
    from vectadb_agent import Processor

    from .conftest import Make


def configured(kind: type[Processor], **options: Any) -> Any:
    return kind(kind.Config.model_validate({"type": kind.name, **options}))


def test_the_plugin_brings_four() -> None:
    assert [each.name for each in vectadb_register_processors()] == ["redact", "sample", "drop", "set"]


@pytest.mark.parametrize("name", ["trace_id", "request_id", "session_id"])
def test_a_share_of_the_traces_is_kept_each_whole(make: Make, name: str) -> None:
    sample = configured(SampleProcessor, keep=0.25)
    kept = {
        number: [sample.process(make(f"line {line}", **{name: f"run-{number}"})) is not None for line in range(3)]
        for number in range(2_000)
    }
    assert all(len(set(lines)) == 1 for lines in kept.values())
    assert 400 < sum(lines[0] for lines in kept.values()) < 600
    again = configured(SampleProcessor, keep=0.25)
    assert [again.process(make(**{name: f"run-{number}"})) is not None for number in kept] == [
        lines[0] for lines in kept.values()
    ]


def test_more_is_kept_of_a_larger_share_and_the_same_besides(make: Make) -> None:
    shares = [configured(SampleProcessor, keep=keep) for keep in (0, 0.2, 0.6, 1)]
    for number in range(300):
        kept = [share.process(make(trace_id=f"t{number}")) is not None for share in shares]
        assert kept == sorted(kept)
        assert kept[0] is False
        assert kept[-1] is True


def test_errors_are_always_kept_unless_it_is_said_otherwise(make: Make) -> None:
    errors = [
        make(event_type="error"),
        make(properties={"level": "ERROR"}),
        make(properties={"level": "critical"}),
        make(properties={"error.type": "ToolError"}),
    ]
    assert all(configured(SampleProcessor, keep=0).process(error) is error for error in errors)
    assert configured(SampleProcessor, keep=0).process(make(properties={"level": "INFO"})) is None
    assert all(configured(SampleProcessor, keep=0, keep_errors=False).process(error) is None for error in errors)


def test_what_carries_no_id_goes_by_its_stream_and_sessions_come_first_where_asked(make: Make) -> None:
    by_trace, by_session = configured(SampleProcessor, keep=0.5), configured(SampleProcessor, keep=0.5, per="session")
    by_stream = configured(SampleProcessor, keep=0.5, per="stream")
    for stream in map(str, range(50)):
        alone = by_trace.process(make(stream=stream)) is not None
        assert (by_stream.process(make(stream=stream, trace_id="any")) is not None) == alone
    for session in map(str, range(50)):
        kept = {by_session.process(make(session_id=session, trace_id=f"t{n}")) is not None for n in range(5)}
        assert len(kept) == 1


@pytest.mark.parametrize("keep", [-0.1, 1.1, "many"])
def test_a_share_is_between_nothing_and_all(keep: Any) -> None:
    with pytest.raises(ValidationError):
        configured(SampleProcessor, keep=keep)


@pytest.mark.parametrize(
    "when",
    [
        {"event_types": ["log", "message"]},
        {"levels": ["debug"]},
        {"log_groups": ["/ecs/*"]},
        {"log_streams": ["task-1"]},
        {"properties": {"logger": "health", "n": 1}},
        {"text": "GET /health[z]?"},
        {"event_types": ["log"], "levels": ["DEBUG", "TRACE"], "text": "^GET"},
    ],
)
def test_drop_leaves_out_what_meets_every_condition(make: Make, when: dict[str, Any]) -> None:
    drop = configured(DropProcessor, when=when)
    properties = {"level": "DEBUG", "logger": "health", "n": 1}
    assert drop.process(make("GET /healthz 200", event_type="log", properties=dict(properties))) is None
    other = make("POST /orders", event_type="tool_call", group="/lambda/x", stream="task-2", properties={"n": True})
    assert drop.process(other) is other


def test_drop_without_a_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one condition"):
        configured(DropProcessor, when={})
    with pytest.raises(ValidationError, match="event_typ"):
        configured(DropProcessor, when={"event_typ": ["log"]})


def test_set_fills_what_is_empty_and_overwrites_where_it_is_told(make: Make) -> None:
    options: dict[str, Any] = {"agent_id": "checkout", "properties": {"env": "prod", "team": {"name": "shop"}}}
    event = configured(SetProcessor, **options).process(make(properties={"env": "test"}))
    assert (event.agent_id, event.properties) == ("checkout", {"env": "test", "team": {"name": "shop"}})
    named = make(agent_id="other", properties={"env": "test"})
    assert configured(SetProcessor, **options).process(named).agent_id == "other"
    named = configured(SetProcessor, **options, overwrite=True).process(named)
    assert (named.agent_id, named.properties["env"]) == ("checkout", "prod")


def test_set_is_for_those_that_are_meant(make: Make) -> None:
    processor = configured(SetProcessor, event_type="message", when={"text": "hello"})
    assert processor.process(make("hello there")).event_type == "message"
    assert processor.process(make("bye")).event_type == "log"
    with pytest.raises(ValueError, match="nothing to set"):
        configured(SetProcessor)


def test_what_is_set_is_not_shared_between_events(make: Make) -> None:
    processor = configured(SetProcessor, properties={"labels": {"a": 1}})
    first, second = processor.process(make()), processor.process(make())
    first.properties["labels"]["b"] = 2
    assert second.properties["labels"] == {"a": 1}
