"""How runs come out, and what the summary of a trace says of it."""

from __future__ import annotations

import pytest

from vectadb_server import spans
from vectadb_server.model import Tokens

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def test_tool_fails_and_the_agent_recovers(log):
    log("agent_start", agent="a", input="go")
    bad = log("tool_call", tool="fetch", call="1")
    log("tool_result", call="1", error_type="TimeoutError", message="took too long")
    log("tool_call", tool="fetch", call="2")
    log("tool_result", call="2", result="got it")
    log("agent_end", output="done")

    trace, found = log.build()
    assert (found[bad].status, found[bad].error) == ("error", "TimeoutError: took too long")
    assert (found["e0"].status, found["e0"].error) == ("ok", None)
    assert (trace.status, trace.errors, trace.first_error) == ("ok", 1, "TimeoutError: took too long")
    assert (trace.input, trace.output) == ("go", "done")


def test_run_fails_with_a_traceback(log):
    raw = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no such order'
    log("agent_start", agent="a")
    tool = log("tool_call", tool="lookup")
    log("error", error_type="ValueError", raw=raw)

    for now in (START + 3 * SECOND, START + 7200 * SECOND):  # an error is no less one for being recent
        trace, found = log.build(now=now)
        assert (found[tool].status, found["e0"].status, trace.status) == ("error", "error", "error")
        assert found[tool].error == found["e0"].error == trace.first_error == "ValueError: no such order"
        assert trace.errors == 1
        assert trace.output is None


def test_run_after_one_that_crashed_is_not_inside_it(log):
    log("agent_start", agent="a", input="first")
    log("tool_call", tool="lookup")
    log("error", error_type="ValueError", message="no")
    log("agent_start", agent="a", input="second")
    log("agent_end", agent="a", output="fine")
    assert log.tree() == ["agent a error", "  tool lookup error", "agent a ok"]
    assert log.build()[0].status == "error"


def test_failed_run_that_was_repeated_with_success_is_forgiven(log):
    log("agent_start", agent="a", input="same")
    log("agent_end", agent="a", error_type="ThrottlingError")
    log("agent_start", agent="a", input="same")
    log("agent_end", agent="a", output="fine")
    trace, found = log.build()
    assert (found["e0"].status, trace.status, trace.errors) == ("error", "ok", 1)


@pytest.mark.parametrize(("age", "status"), [(0, "running"), (14 * 60, "running"), (15 * 60, "interrupted")])
def test_run_without_an_end(log, age, status):
    log("agent_start", agent="a")
    tool = log("tool_call", tool="search")
    trace, found = log.build(now=START + (1 + age) * SECOND)
    assert {found[tool].status, found["e0"].status, trace.status} == {status}
    assert found[tool].end == (None if status == "running" else START + SECOND)


def test_recent_failure_of_a_tool_leaves_its_agent_running(log):
    log("agent_start", agent="a")
    log("tool_call", tool="search")
    log("tool_result", is_error=True, result="503")
    assert log.tree(now=START + 60 * SECOND) == ["agent a running", "  tool search error"]
    assert log.build()[0].status == "error"  # and if nothing follows, that was the end of it


def test_end_of_the_invocation_interrupts_what_is_open(log):
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("tool_call", tool="search")
    log("invocation_end", request_id="r", error_type="timeout", message="Task timed out after 3.00 seconds")

    assert log.tree(now=START + 4 * SECOND) == [
        "invocation invocation error",
        "  agent a interrupted",
        "    tool search interrupted",
    ]
    trace = log.build()[0]
    assert (trace.status, trace.errors, trace.request_id) == ("error", 1, "r")
    assert trace.first_error == "timeout: Task timed out after 3.00 seconds"


def test_lambda_around_an_agent(log):
    log("log", message="INIT_START")
    start = log("invocation_start", request_id="r", **{"faas.name": "orders"})
    inside = log("log", level="INFO", message="cold cache")
    log("agent_start", agent="a")
    log("agent_end", agent="a", output="ok")
    log("invocation_end", request_id="r")
    log("invocation_end", request_id="r", faas_ms=3900.5)  # REPORT
    after = log("log", message="extension flushed", request_id="r")

    trace, found = log.build()
    assert log.tree() == ["invocation orders ok", "  agent a ok"]
    assert found[start].event_ids == [start, inside, "e5", "e6"]
    assert found[start].end == START + SECOND + 3_900_500
    assert all(after not in span.event_ids for span in found.values())
    assert (trace.start, trace.end, trace.name) == (START, START + 7 * SECOND, "a")


def test_lambda_tells_of_an_invocation_after_its_end(log):
    log("invocation_start", request_id="r")
    log("invocation_end", request_id="r")
    report = log("log", request_id="r", faas_ms=900, **{"faas.status": "timeout"})
    other = log("error", request_id="other", error_type="x")
    trace, found = log.build()
    assert found["e0"].event_ids == ["e0", "e1", report]
    assert (found["e0"].status, found["e0"].error, found["e0"].end) == ("error", "timeout", START + 900_000)
    assert trace.status == "error"
    assert other not in found["e0"].event_ids


def test_timeout_is_told_in_two_lines_but_is_one_error(log):
    log("invocation_start", request_id="r")
    log("error", request_id="r", level="ERROR", error_type="timeout", message="Task timed out after 3.00 seconds")
    log("invocation_end", request_id="r")
    log("log", request_id="r", faas_ms=3000, **{"faas.status": "timeout"})
    trace, found = log.build()
    assert (found["e0"].status, trace.status, trace.errors) == ("error", "error", 1)
    assert found["e0"].error == "timeout: Task timed out after 3.00 seconds"


def test_crash_outside_any_agent_fails_the_invocation(log):
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("agent_end", agent="a")
    log("error", level="ERROR", error_type="KeyError", message="'x'")
    log("invocation_end", request_id="r")
    trace, found = log.build()
    assert (found["e0"].status, found["e1"].status, trace.status) == ("error", "ok", "error")


def test_retry_of_an_invocation_in_another_stream(log):
    for stream, end in (("one", {"error_type": "timeout"}), ("two", {})):
        log("invocation_start", request_id="r", stream=stream)
        log("tool_call", tool="t", call="c", args={}, stream=stream)
        if not end:
            log("tool_result", call="c", result=1, stream=stream)
        log("invocation_end", request_id="r", stream=stream, **end)
    assert log.tree() == [
        "invocation invocation error",
        "  tool t interrupted",
        "invocation invocation ok",
        "  tool t ok",
    ]
    assert log.build()[0].status == "ok"


def test_agent_without_an_end_is_over_with_its_answer(log):
    log("agent_start", agent="a")
    log("agent_finish", message="42")
    log("agent_start", agent="b")
    log("agent_finish", message="43")

    trace, found = log.build(now=START + 5 * SECOND)
    assert log.tree(now=START + 5 * SECOND) == ["agent a ok", "agent b ok"]
    assert (found["e0"].end, found["e0"].output, trace.output) == (START + SECOND, "42", "43")


def test_tokens_are_counted_once(log):
    log("agent_start", agent="a")
    log("llm_start", model="m")
    log("message", role="assistant", tokens_in=10, tokens_out=2, event_id="m1")
    log("llm_end", model="m-2026", usage={"prompt_tokens": 10, "completion_tokens": 2})
    log("llm_end", model="m", tokens_in=20, tokens_out=3)
    log("agent_end", tokens_in=30, tokens_out=5)
    trace, found = log.build()
    assert trace.tokens == Tokens(30, 5)
    assert (found["e1"].tokens, found["e1"].model) == (Tokens(10, 2), "m")
    assert found["e0"].tokens == Tokens(30, 5)


def test_tokens_of_messages_alone(log):
    log("agent_start", agent="a")
    for reply, tokens in (("x", 10), ("x", 10), ("y", 7)):  # printed twice
        log("message", role="assistant", message=reply, message_id=reply, input_tokens=tokens)
    log("agent_end")
    assert log.build()[0].tokens == Tokens(17, None)


def test_error_that_is_passed_on_counts_once(log):
    log("chain_start", name="c")
    log("tool_call", tool="t")
    log("tool_result", error_type="ValueError", message="no")
    log("chain_end", name="c", error_type="ValueError", message="no")
    trace = log.build()[0]
    assert (trace.status, trace.errors) == ("error", 1)


def test_level_error_attaches_to_the_innermost_span(log):
    log("agent_start", agent="a")
    tool = log("tool_call", tool="t")
    line = log("log", level="ERROR", message="connection reset, trying again")
    log("tool_result", result="fine")
    log("agent_end", agent="a")
    trace, found = log.build()
    assert line in found[tool].event_ids
    assert (found[tool].status, found["e0"].status, trace.status, trace.errors) == ("error", "ok", "ok", 1)


def test_trace_of_nothing_but_lines(log):
    log("log", message="hello", agent_id="bot", session_id="s1", basis="session_id")
    log("log", message="bye", basis="request_id")
    trace, found = log.build()
    assert found == {}
    assert (trace.status, trace.name, trace.agent_id, trace.session_id) == ("ok", "bot", "bot", "s1")
    assert (trace.basis, trace.trace_id, trace.events) == ("request_id", "t", 2)
    log("log", level="CRITICAL", message="boom")
    assert log.build()[0].status == "error"


def test_long_texts_are_cut_in_the_summary_alone(log):
    log("agent_start", agent="a", input="x" * 10_000)
    log("agent_end")
    trace, found = log.build()
    assert trace.input is not None
    assert len(trace.input) == 4000
    assert len(found["e0"].input) == 10_000


def test_no_events_is_a_callers_mistake():
    with pytest.raises(ValueError, match="without events"):
        spans.build([], now=0)
    with pytest.raises(ValueError, match="without events"):
        spans.rebuild([], now=0)


def test_failure_that_was_overcome_does_not_make_an_interrupted_run_a_failed_one(log):
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("tool_call", tool="t")
    log("tool_result", error_type="Timeout")
    log("tool_call", tool="t")
    log("tool_result", result="fine")
    log("invocation_end", request_id="r")
    trace, found = log.build()
    assert (found["e1"].status, found["e0"].status, trace.status, trace.errors) == ("interrupted", "ok", "ok", 1)


def test_tool_that_fails_as_the_tool_inside_it_did_is_one_error(log):
    log("agent_start", agent="a")
    log("tool_call", tool="ask")
    log("agent_start", agent="b")
    log("tool_call", tool="db")
    log("tool_result", tool="db", error_type="ConnectionError", message="refused")
    log("agent_end", agent="b", error_type="ConnectionError", message="refused")
    log("tool_result", tool="ask", error_type="ConnectionError", message="refused")
    log("tool_call", tool="db")
    log("tool_result", tool="db", error_type="ConnectionError", message="refused")
    log("agent_end", agent="a", output="no luck")
    trace = log.build()[0]
    assert (trace.status, trace.errors) == ("ok", 2)


def test_span_in_another_stream_is_over_with_its_parent(log):
    log("agent_start", agent="a", stream="one", span_id="A")
    child = log("tool_call", tool="t", stream="two", parent_span_id="A")
    assert log.build(now=START + SECOND)[1][child].status == "running"
    log("agent_end", agent="a", stream="one", span_id="A")
    assert log.build(now=START + SECOND)[1][child].status == "interrupted"
