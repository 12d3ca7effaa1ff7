"""`make accuracy` must tell right from wrong: real recordings through the real parsers, and then spoilt."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.accuracy import recordings
from benchmarks.accuracy.__main__ import taken_for_frameworks
from benchmarks.accuracy.judging import Verdict, judge, same
from benchmarks.accuracy.running import Outcome, parse


@pytest.fixture(scope="module")
def parsed() -> Outcome:
    chosen = [
        each for each in recordings.read({"autogen"}) if each.name == "several_tools.console" and not each.held_out
    ]
    (outcome,), _ = parse(chosen, "own")
    return outcome


def spans_of(outcome: Outcome) -> list[dict[str, Any]]:
    """What a server would say of it, had it understood everything."""
    agent = {"span_id": "a", "parent_span_id": None, "kind": "agent", "name": "assistant", "event_ids": []}
    spans = [agent | {"input": None, "output": None, "tokens": {"input": None, "output": None}, "error": None}]
    ids = {
        event["properties"].get("gen_ai.tool.call.id"): event["event_id"]
        for line in outcome.lines
        for event in line
        if event["event_type"] == "tool_result"
    }
    for call in outcome.recording.calls:
        spans.append(
            spans[0]
            | {
                "span_id": call["id"],
                "parent_span_id": "a",
                "kind": "tool",
                "name": call["name"],
                "input": call["arguments"],
                "output": call["result"],
                "event_ids": [ids[call["id"]]],
            }
        )
    return spans


@pytest.fixture
def understood(parsed: Outcome) -> Outcome:
    outcome = copy.deepcopy(parsed)
    outcome.spans = spans_of(outcome)
    outcome.traces = {"t": [event | {"trace_id": "t"} for line in outcome.lines for event in line]}
    outcome.summaries = [{"output": outcome.recording.answer}]
    return outcome


def shares(verdict: Verdict) -> dict[str, tuple[int, int]]:
    return {name: (verdict.right[name], total) for name, total in verdict.total.items() if total}


def test_what_is_right_is_right(understood: Outcome) -> None:
    verdict = judge(understood)
    assert shares(verdict) == {
        "lines": (15, 15),
        "calls": (2, 2),
        "pairing": (2, 2),
        "nesting": (2, 2),
        "answers": (1, 1),
        "traces": (1, 1),
    }
    assert (verdict.extra, verdict.wrong) == (0, [])


@pytest.mark.parametrize(
    ("column", "spoil"),
    [
        (
            "lines",
            lambda outcome: outcome.lines[4][0].update(event_type="log") or outcome.lines[4].__delitem__(slice(1, 9)),
        ),
        ("calls", lambda outcome: outcome.spans[1].update(input={"query": "b"})),
        ("calls", lambda outcome: outcome.spans[1].update(output="Found for a:")),
        ("calls", lambda outcome: outcome.spans.pop()),
        ("pairing", lambda outcome: outcome.spans[1].update(event_ids=[])),
        ("nesting", lambda outcome: outcome.spans[2].update(parent_span_id=None)),
        ("answers", lambda outcome: outcome.summaries[0].update(output="It comes")),
        ("traces", lambda outcome: outcome.traces.update(u=[outcome.traces["t"][0] | {"trace_id": "u"}])),
        ("traces", lambda outcome: setattr(outcome, "shared", True)),
    ],
)
def test_what_is_wrong_is_counted(understood: Outcome, column: str, spoil: Any) -> None:
    spoil(understood)
    verdict = judge(understood)
    assert verdict.right[column] < verdict.total[column]
    assert any(wrong.startswith(column) for wrong in verdict.wrong)


def test_a_call_that_never_was_is_counted(understood: Outcome) -> None:
    understood.spans.append(understood.spans[1] | {"span_id": "x", "name": "hammer"})
    assert judge(understood).extra == 1


def test_values_are_the_same_however_they_were_printed() -> None:
    assert same("{'a': [1, None]}", {"a": [1, None]})
    assert same('{"a": 1}', {"a": 1})
    assert same("x\n", "x")
    assert not same("x ", "x")
    assert not same("{'a': 1}", {"a": 2})


def test_ordinary_lines_and_others() -> None:
    assert taken_for_frameworks(["GET / 200\n", "Tool #1: search\n", "hello\n"]) == ["Tool #1: search\n"]
