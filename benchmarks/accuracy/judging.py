"""Comparing what came of a recording with what really happened."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vectadb_agent_parsers import literals

if TYPE_CHECKING:
    from benchmarks.accuracy.running import Outcome

COLUMNS = ("lines", "calls", "pairing", "nesting", "models", "tokens", "answers", "traces")


@dataclass
class Verdict:
    """How much was right, of how much; ``wrong`` names each thing that was not."""

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
    _traces(outcome, verdict)
    return verdict


def same(found: Any, true: Any) -> bool:
    """Whether a value is the true one, whether it was printed as text, as JSON or as a Python ``repr``."""
    return bool(found == true or _value(found) == _value(true))


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip("\n")
    for read in (json.loads, literals.read):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return text


def _shown(found: Any, true: Any, how: str, truncated: bool) -> bool:
    if how == "absent":
        return True
    if how == "prefix":
        whole = true if isinstance(true, str) else json.dumps(true, ensure_ascii=False)
        return truncated and isinstance(found, str) and bool(found) and whole.startswith(found.rstrip(".…"))
    return same(found, true)


def _lines(outcome: Outcome, verdict: Verdict) -> None:
    labelled = outcome.recording.lines
    for number, types in enumerate(labelled or ()):
        made = {event["event_type"] for event in outcome.lines[number]}
        if "*" in types:
            continue
        right = bool(made & set(types))
        line = outcome.recording.text.split("\n")[number]
        verdict.count(
            "lines", right, f"{outcome.recording.key}:{number + 1}: {line[:90]!r} is {types}, found {sorted(made)}"
        )


def _calls(outcome: Outcome, verdict: Verdict) -> None:
    recording = outcome.recording
    spans = [span for span in outcome.spans if span["kind"] == "tool"]
    told = {event["event_id"]: event for made in outcome.lines for event in made}
    by_id = {span["span_id"]: span for span in outcome.spans}
    left = list(spans)
    for call in recording.calls:
        printed = call["printed"]
        if printed.get("name", "full") == "absent" or printed.get("call", True) is False:
            continue
        candidates = [span for span in left if span["name"] == call["name"]]
        fits = [span for span in candidates if _complete(span, call, told)]
        span = next(iter(fits or candidates), None)
        where = f"{recording.key}: {call['name']}({str(call['arguments'])[:100]})"
        if span is None:
            verdict.count("calls", False, f"{where}: not found")
        else:
            left.remove(span)
            verdict.count(
                "calls",
                bool(fits),
                f"{where} -> {str(call['result'])[:120]!r}, printed {printed}; found {str(span['input'])[:120]!r} -> "
                f"{str(span['output'])[:160]!r}",
            )
        if printed["result"] != "absent" and call["result"] is not None:
            ids = {told[id_]["event_type"] for id_ in (span or {"event_ids": []})["event_ids"] if id_ in told}
            verdict.count("pairing", bool(fits) and "tool_result" in ids, f"{where}: its result is not with it")
        run = _printed_run(recording.runs, call["within"])
        if run is not None and span is not None:
            around = _agent_around(span, by_id)
            verdict.count("nesting", around == run["name"], f"{where}: within {around!r}, not {run['name']!r}")
    verdict.extra += len(left)
    verdict.wrong += [f"extra: {recording.key}: {span['name']}({str(span['input'])[:80]})" for span in left]


def _complete(span: dict[str, Any], call: dict[str, Any], told: dict[str, dict[str, Any]]) -> bool:
    truncated = any(told[id_]["properties"].get("truncated") for id_ in span["event_ids"] if id_ in told)
    printed = call["printed"]
    result = call["result"] if call["result"] is not None else call.get("error")
    if call["result"] is None and printed["result"] == "full" and call.get("error") is None:
        result = ""
    output = span["output"] if span["output"] is not None else ("" if result == "" else span["error"])
    return _shown(span["input"], call["arguments"], printed["arguments"], truncated) and (
        _shown(output, result, printed["result"], truncated)
    )


def _printed_run(runs: list[dict[str, Any]], at: int | None) -> dict[str, Any] | None:
    while at is not None:
        if runs[at]["printed"] and runs[at]["kind"] == "agent":
            return runs[at]
        at = runs[at]["within"]
    return None


def _agent_around(span: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> str | None:
    while (above := by_id.get(span["parent_span_id"] or "")) is not None:
        if above["kind"] == "agent":
            return str(above["name"])
        span = above
    return None


def _models(outcome: Outcome, verdict: Verdict) -> None:
    spans = [span for span in outcome.spans if span["kind"] == "llm"]
    counted = [(span["tokens"]["input"], span["tokens"]["output"]) for span in spans]
    for model in outcome.recording.models:
        printed = model["printed"]
        if printed["call"]:
            found = spans.pop() if spans else None
            verdict.count("models", found is not None, f"{outcome.recording.key}: a model call is not found")
        if printed["tokens"] and model["input_tokens"] is not None:
            wanted = (model["input_tokens"], model["output_tokens"])
            verdict.count("tokens", wanted in counted, f"{outcome.recording.key}: {wanted}, found {counted[:8]}")
            if wanted in counted:
                counted.remove(wanted)


def _traces(outcome: Outcome, verdict: Verdict) -> None:
    """All events that name no trace of their own are in one, and nobody else's events are in any of these."""
    if not outcome.traces:
        return
    unnamed = {
        trace
        for trace, events in outcome.traces.items()
        if any(event["trace_id"] == trace and not _names_trace(event, outcome) for event in events)
    }
    right = len(unnamed) <= 1 and not outcome.shared
    verdict.count("traces", right, f"{outcome.recording.key}: {len(unnamed)} traces, shared: {outcome.shared}")


def _names_trace(event: dict[str, Any], outcome: Outcome) -> bool:
    sent = next((made for line in outcome.lines for made in line if made["event_id"] == event["event_id"]), None)
    return sent is not None and any(sent.get(key) for key in ("trace_id", "request_id", "session_id"))
