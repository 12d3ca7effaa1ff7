"""`make accuracy` must tell right from wrong: real recordings through the real parsers, and then spoilt."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from benchmarks.accuracy import recordings
from benchmarks.accuracy.judging import Verdict, judge, judge_served, same
from benchmarks.accuracy.running import Outcome, parse, parse_served, taken_for_frameworks


@pytest.fixture(scope="module")
def parsed() -> Outcome:
    chosen = [
        each for each in recordings.read({"autogen"}) if each.name == "several_tools.console" and not each.held_out
    ]
    (outcome,), _ = parse(chosen, "own")
    return outcome


def spans_of(outcome: Outcome) -> list[dict[str, Any]]:
    """What a server would say of it, had it understood everything."""
    agent: dict[str, Any] = {
        "span_id": "a",
        "parent_span_id": None,
        "kind": "agent",
        "name": "assistant",
        "event_ids": [],
    }
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
    outcome.traces = {"t": [event | {"trace_id": "t"} for event in outcome.events]}
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
        "alone": (1, 1),
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
        ("traces", lambda outcome: outcome.traces.update(u=[outcome.traces["t"].pop()])),
        ("traces", lambda outcome: outcome.traces["t"].pop()),
        ("traces", lambda outcome: outcome.traces.clear()),
        ("traces", lambda outcome: setattr(outcome, "shared", True)),
        ("alone", lambda outcome: setattr(outcome, "alone", False)),
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


def with_truth(outcome: Outcome, **truth: Any) -> Outcome:
    return dataclasses.replace(outcome, recording=dataclasses.replace(outcome.recording, **truth))


def test_results_of_two_equal_calls_swapped_are_no_pairs(understood: Outcome) -> None:
    (first, second) = (call | {"name": "search"} for call in understood.recording.calls)
    swapped = with_truth(understood, calls=[first, second])
    for span, call, other in ((swapped.spans[1], first, second), (swapped.spans[2], second, first)):
        span.update(name="search", input=call["arguments"], output=other["result"])
    verdict = judge(swapped)
    assert (verdict.right["calls"], verdict.right["pairing"], verdict.total["pairing"]) == (0, 0, 2)


def test_a_wrong_argument_leaves_the_pair_together(understood: Outcome) -> None:
    understood.spans[1].update(input={"query": "b"})
    assert shares(judge(understood))["pairing"] == (2, 2)


def test_an_incomplete_call_does_not_take_the_span_of_a_complete_one(understood: Outcome) -> None:
    first, second = understood.recording.calls
    unknown = first | {"arguments": {"query": "never found"}, "result": "nothing"}
    assert shares(judge(with_truth(understood, calls=[unknown, first, second])))["calls"] == (2, 3)


def test_two_runs_of_one_agent_are_two_spans(understood: Outcome) -> None:
    first, second = understood.recording.calls
    runs = [understood.recording.runs[0], understood.recording.runs[0]]
    two = with_truth(understood, runs=runs, calls=[first | {"within": 0}, second | {"within": 1}])
    assert shares(judge(two))["nesting"] == (1, 2)
    two.spans.append(two.spans[0] | {"span_id": "b"})
    two.spans[2]["parent_span_id"] = "b"
    assert shares(judge(two))["nesting"] == (2, 2)


@pytest.mark.parametrize(
    ("found", "right", "extra"),
    [
        ([("m-1", 5, 7)], {"models": (1, 1), "tokens": (1, 1)}, 0),
        ([("m-2", 5, 7)], {"models": (0, 1), "tokens": (1, 1)}, 1),
        ([("m-1", 5, 8)], {"models": (1, 1), "tokens": (0, 1)}, 0),
        ([], {"models": (0, 1), "tokens": (0, 1)}, 0),
        ([("m-1", 5, 7), ("m-1", 5, 7)], {"models": (1, 1), "tokens": (1, 1)}, 1),
    ],
)
def test_models(
    understood: Outcome, found: list[tuple[str, int, int]], right: dict[str, tuple[int, int]], extra: int
) -> None:
    printed = {"call": True, "tokens": True, "model": True}
    told = {"model": "m-1", "input_tokens": 5, "output_tokens": 7, "printed": printed}
    for number, (model, asked, answered) in enumerate(found):
        tokens = {"input": asked, "output": answered}
        span = understood.spans[0] | {"span_id": f"m{number}", "kind": "llm", "model": model, "tokens": tokens}
        understood.spans.append(span)
    verdict = judge(with_truth(understood, models=[told]))
    assert {name: shares(verdict)[name] for name in right} == right
    assert verdict.extra == extra


def test_a_value_cut_by_the_framework_is_a_marked_prefix(understood: Outcome) -> None:
    first, second = understood.recording.calls
    cut = with_truth(understood, calls=[first | {"printed": first["printed"] | {"result": "prefix"}}, second])
    cut.spans[1]["output"] = first["result"][:9] + "..."
    assert shares(judge(cut))["calls"] == (1, 2)
    for event in cut.events:
        event["properties"]["truncated"] = True
    assert shares(judge(cut))["calls"] == (2, 2)
    cut.spans[1]["output"] = "..."
    assert shares(judge(cut))["calls"] == (1, 2)


def test_a_line_that_an_invocation_printed_belongs_to_its_trace() -> None:
    chosen = [each for each in recordings.read({"awslambdaric"}) if each.name == "multiline.text"]
    (outcome,), _ = parse(chosen, "own")
    request = outcome.recording.runs[0]["name"]
    printed = next(event for event in outcome.events if not event.get("request_id"))
    outcome.traces = {request: [*outcome.events]}
    assert shares(judge(outcome))["traces"] == (1, 1)
    outcome.traces = {request: [event for event in outcome.events if event is not printed], "elsewhere": [printed]}
    verdict = judge(outcome)
    assert shares(verdict)["traces"] == (0, 1)
    assert any("no invocation's" in wrong for wrong in verdict.wrong)


def test_a_services_run_is_in_one_trace_and_nobody_elses_is() -> None:
    chosen = [each for each in recordings.read({"crewai"}) if not each.held_out]
    outcomes, events = parse_served(chosen, "own")
    assert [outcome.recording.key for outcome in outcomes] == [recording.key for recording in chosen]
    assert sum(len(outcome.events) for outcome in outcomes) < len(events)  # a death is nobody's own line
    first = outcomes[0]
    first.traces = {"t": first.events}
    assert shares(judge_served(first)) == {"ecs": (1, 1)}
    first.traces = {"t": first.events[1:], "u": first.events[:1]}
    assert shares(judge_served(first)) == {"ecs": (0, 1)}
    first.traces, first.shared = {"t": first.events}, True
    assert shares(judge_served(first)) == {"ecs": (0, 1)}


def test_values_are_the_same_however_they_were_printed() -> None:
    assert same("{'a': [1, None]}", {"a": [1, None]})
    assert same({"a": 1}, '{"a": 1}')
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("found", "true"),
    [
        ("x\n", "x"),
        ("x ", "x"),
        ('{"a": 1}', '{"a":1}'),
        ("{'a': 1}", {"a": 2}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ([1], [1, 2]),
        (None, ""),
    ],
)
def test_values_that_are_not_the_same(found: Any, true: Any) -> None:
    assert not same(found, true)


def test_ordinary_lines_and_others() -> None:
    assert taken_for_frameworks(["GET / 200\n", "Tool #1: search\n", "hello\n"]) == ["Tool #1: search\n"]
