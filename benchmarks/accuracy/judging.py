"""Comparing what came of a recording with what really happened."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.framing import LINE, invocations
from vectadb_agent_parsers import literals

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.accuracy.running import Outcome

COLUMNS = ("lines", "calls", "pairing", "nesting", "models", "tokens", "answers", "traces", "alone", "ecs")
"""``lines``: a line's block has an event of an acceptable type. ``calls``: name, arguments and result exactly there.
``pairing``: a call's span holds its own result. ``nesting``: the agent's span around a call is that of its run.
``models``: a model call's span, with the model's name. ``alone``: a recording gives the same without others beside it.
``ecs``: of a service's runs, without Lambda's START and END around them, all events of one in a trace of its own.
"""

Made = dict[str, Any]


@dataclass
class Verdict:
    """How much was right, of how much; ``wrong`` names each thing that was not.

    ``extra``: tool and model calls found that never were.
    """

    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    extra: int = 0
    wrong: list[str] = field(default_factory=list)

    def count(self, column: str, right: bool, wrong: str = "") -> None:
        """Count one thing; ``wrong`` says what was expected and what came."""
        self.total[column] += 1
        self.right[column] += right
        if not right:
            self.wrong.append(f"{column}: {wrong}")

    def surplus(self, what: str) -> None:
        """Count a call that never was."""
        self.extra += 1
        self.wrong.append(f"extra: {what}")

    def add(self, other: Verdict) -> None:
        """Add up."""
        for column in COLUMNS:
            self.right[column] += other.right[column]
            self.total[column] += other.total[column]
        self.extra += other.extra
        self.wrong += other.wrong


def judge(outcome: Outcome) -> Verdict:
    """Judge one recording."""
    verdict = Verdict()
    _lines(outcome, verdict)
    _calls(outcome, verdict)
    _models(outcome, verdict)
    recording = outcome.recording
    if recording.answer is not None:
        answers = [summary.get("output") for summary in outcome.summaries]
        wanted = recording.answer.strip()
        right = any(isinstance(answer, str) and answer.strip() == wanted for answer in answers)
        verdict.count("answers", right, f"{recording.key}: {wanted[:80]!r}, found {str(answers)[:160]}")
    if recording.text:
        problems = _grouping(outcome, invocations(recording))
        verdict.count("traces", not problems, f"{recording.key}: {'; '.join(problems)}")
        verdict.count("alone", outcome.alone, f"{recording.key}: other events with other streams beside it")
    return verdict


def judge_served(outcome: Outcome) -> Verdict:
    """Judge one run of a service: whether what its framework printed is in a trace of its own."""
    verdict = Verdict()
    problems = _grouping(outcome, [])
    verdict.count("ecs", not problems, f"{outcome.recording.key}: {'; '.join(problems)}")
    return verdict


def same(found: Any, true: Any) -> bool:
    """Whether a value is the true one: exactly, or one of the two is the other's text, as JSON or a Python ``repr``."""
    if isinstance(found, str) == isinstance(true, str):
        return _exactly(found, true)
    return _exactly(_value(found), _value(true))


def _exactly(found: Any, true: Any) -> bool:
    """Equal in types too: 1 is neither 1.0 nor True."""
    if isinstance(found, dict) and isinstance(true, dict):
        return found.keys() == true.keys() and all(_exactly(found[key], value) for key, value in true.items())
    if isinstance(found, (list, tuple)) and isinstance(true, (list, tuple)):
        return len(found) == len(true) and all(map(_exactly, found, true))
    return type(found) is type(true) and bool(found == true)


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for read in (json.loads, literals.read):
        try:
            return read(value)
        except (ValueError, RecursionError):
            continue
    return value


def _shown(found: Any, true: Any, how: str, truncated: bool) -> bool:
    if how == "absent":
        return True
    if how == "prefix":
        whole = true if isinstance(true, str) else json.dumps(true, ensure_ascii=False)
        shown = found.rstrip(".…") if isinstance(found, str) else ""
        return truncated and bool(shown) and whole.startswith(shown)
    return same(found, true)


def _lines(outcome: Outcome, verdict: Verdict) -> None:
    recording = outcome.recording
    if recording.lines is None:
        return
    for number, (line, types, events) in enumerate(
        zip(LINE.findall(recording.text), recording.lines, outcome.lines, strict=True), start=1
    ):
        if "*" in types:
            continue
        made = {event["event_type"] for event in events}
        where = f"{recording.key}:{number}: {line[:90]!r}"
        verdict.count("lines", bool(made & set(types)), f"{where} is {types}, found {sorted(made)}")


def _calls(outcome: Outcome, verdict: Verdict) -> None:
    recording = outcome.recording
    told = {event["event_id"]: event for event in outcome.events}
    by_id = {span["span_id"]: span for span in outcome.spans}
    calls = [call for call in recording.calls if _is_printed(call["printed"])]
    left = [span for span in outcome.spans if span["kind"] == "tool"]
    matched = _matched(
        calls,
        left,
        lambda call, span: span["name"] == call["name"] and all(_complete(span, call, told)),
        lambda call, span: span["name"] == call["name"] and any(_complete(span, call, told)),
        lambda call, span: span["name"] == call["name"],
    )
    agents: dict[int, str] = {}
    """Of each run the span that the calls in it are in."""
    for call, span in zip(calls, matched, strict=True):
        printed = call["printed"]
        where = f"{recording.key}: {call['name']}({str(call['arguments'])[:100]})"
        arguments, result = (False, False) if span is None else _complete(span, call, told)
        found = "nothing" if span is None else f"{str(span['input'])[:120]!r} -> {str(span['output'])[:160]!r}"
        verdict.count(
            "calls", arguments and result, f"{where} -> {str(call['result'])[:120]!r}, printed {printed}; found {found}"
        )
        if printed["result"] != "absent" and call["result"] is not None:
            types = {told[id_]["event_type"] for id_ in (span["event_ids"] if span else ()) if id_ in told}
            verdict.count("pairing", result and "tool_result" in types, f"{where}: its result is not with it")
        run = _printed_run(recording.runs, call["within"])
        if run is not None:
            name = recording.runs[run]["name"]
            around = _agent_around(span, by_id)
            # Runs of one agent share its name; their spans tell them apart.
            apart = around["span_id"] not in {id_ for other, id_ in agents.items() if other != run}
            right = around["name"] == name and apart and agents.get(run, around["span_id"]) == around["span_id"]
            if right:
                agents[run] = around["span_id"]
            verdict.count("nesting", right, f"{where}: within {around['name']!r}, not run {run}, {name!r}")
    # A call whose name is not printed may still be told, by its result: only what is beyond all calls never was.
    for span in left[len(recording.calls) - len(calls) :]:
        verdict.surplus(f"{recording.key}: {span['name']}({str(span['input'])[:80]})")


def _is_printed(printed: Made) -> bool:
    return printed.get("name", "full") != "absent" and printed.get("call", True) is not False


def _matched(wanted: list[Made], left: list[Made], *fits: Callable[[Made, Made], bool]) -> list[Made | None]:
    """For each thing wanted what was found of it, if anything; the best matches go first, and leave ``left``."""
    found: list[Made | None] = [None] * len(wanted)
    for fit in fits:
        for place, true in enumerate(wanted):
            if found[place] is None:
                span = next((span for span in left if fit(true, span)), None)
                if span is not None:
                    found[place] = span
                    left.remove(span)
    return found


def _complete(span: Made, call: Made, told: dict[str, Made]) -> tuple[bool, bool]:
    """Whether the arguments are as they were, and whether the result is."""
    truncated = any(told[id_]["properties"].get("truncated") for id_ in span["event_ids"] if id_ in told)
    printed = call["printed"]
    result = call["result"] if call["result"] is not None else call.get("error")
    if call["result"] is None and printed["result"] == "full" and call.get("error") is None:
        result = ""
    output = span["output"] if span["output"] is not None else ("" if result == "" else span["error"])
    return (
        _shown(span["input"], call["arguments"], printed["arguments"], truncated),
        _shown(output, result, printed["result"], truncated),
    )


def _printed_run(runs: list[Made], at: int | None) -> int | None:
    while at is not None:
        if runs[at]["printed"] and runs[at]["kind"] == "agent":
            return at
        at = runs[at]["within"]
    return None


def _agent_around(span: Made | None, by_id: dict[str, Made]) -> Made:
    while span is not None:
        span = by_id.get(span["parent_span_id"] or "")
        if span is not None and span["kind"] == "agent":
            return span
    return {"span_id": None, "name": None}


def _models(outcome: Outcome, verdict: Verdict) -> None:
    recording = outcome.recording
    left = [span for span in outcome.spans if span["kind"] == "llm"]
    counted = [(span["tokens"]["input"], span["tokens"]["output"]) for span in left]
    printed = [model for model in recording.models if model["printed"]["call"]]
    matched = _matched(
        printed,
        left,
        lambda model, span: _named(model) is not None and _named(model) == span["model"],
        lambda model, _: _named(model) is None,
    )
    for model, span in zip(printed, matched, strict=True):
        verdict.count("models", span is not None, f"{recording.key}: no call of {_named(model) or 'a model'} is left")
    for model in recording.models:
        if model["printed"]["tokens"] and model["input_tokens"] is not None:
            wanted = (model["input_tokens"], model["output_tokens"])
            verdict.count("tokens", wanted in counted, f"{recording.key}: {wanted}, found {counted[:8]}")
            if wanted in counted:
                counted.remove(wanted)
    # A call that is not printed may still be told, by its answer: only what is beyond all calls never was.
    for span in left[len(recording.models) - len(printed) :]:
        verdict.surplus(f"{recording.key}: a call of the model {span['name']}")


def _named(model: Made) -> str | None:
    name: str | None = model["model"] if model["printed"].get("model") else None
    return name


def _grouping(outcome: Outcome, requests: list[str]) -> list[str]:
    """What is wrong with the traces of a recording, inside invocations of these requests.

    Each id that events name (a trace's, a request's, a session's) has one trace to itself, and nobody else's events are
    in any of them. Events that name none are in their invocations'; those before the first or after the last, or
    where there is no invocation at all, together in one.
    """
    problems = ["another recording's events are in its traces"] if outcome.shared else []
    traces = {event["event_id"]: trace for trace, events in outcome.traces.items() for event in events}
    by_name: dict[str, set[str]] = {}
    by_trace: dict[str, set[str]] = {}
    outside: set[str] = set()
    within: set[str] = set()
    naming = [place for place, event in enumerate(outcome.events) if _names(event) in requests]
    lost = 0
    for place, event in enumerate(outcome.events):
        name, trace = _names(event), traces.get(event["event_id"])
        if trace is None:
            lost += 1
        elif name is not None:
            by_name.setdefault(name, set()).add(trace)
            by_trace.setdefault(trace, set()).add(name)
        else:
            (within if naming and naming[0] < place < naming[-1] else outside).add(trace)
    around = {trace for request in requests for trace in by_name.get(request, ())}
    if lost:
        problems.append(f"{lost} of {len(outcome.events)} events are in no trace")
    problems += _more_than_one("is in", by_name, "traces") + _more_than_one("holds", by_trace, "ids")
    if len(around) < len(requests):
        problems.append(f"{len(around)} of {len(requests)} invocations have a trace")
    if within - around:
        problems.append(f"events of invocations are in {len(within - around)} traces that are no invocation's")
    if len(outside) > 1:
        problems.append(f"events of no invocation, that name no trace, are in {len(outside)} traces")
    return problems


def _more_than_one(verb: str, found: dict[str, set[str]], what: str) -> list[str]:
    return [f"{name} {verb} {len(all_)} {what}" for name, all_ in found.items() if len(all_) > 1]


def _names(event: Made) -> str | None:
    """The id by which the server knows the event's trace, first that it names."""
    return next((event[key] for key in ("trace_id", "request_id", "session_id") if event.get(key)), None)
