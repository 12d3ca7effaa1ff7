"""Logs as the frameworks write them, and the spans that a reader would draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vectadb_server import spans
from vectadb_server.model import Tokens

if TYPE_CHECKING:
    from .conftest import Scenario

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def test_react_run_with_two_tools(log: Scenario) -> None:
    log("agent_start", agent="AgentExecutor")
    thought = log("agent_thought", message="look it up")
    search = log("tool_call", tool="search", args='{"q": "shipping"}')
    log("tool_result", result="2 days\n - express: 1")
    calc = log("tool_call", tool="calculator", args="1 + 2")
    log("tool_result", result="3")
    log("agent_finish", output="3 days.")
    log("chain_end")  # "> Finished chain." has no name and does not say what it ends

    assert log.tree() == ["agent AgentExecutor ok", "  tool search ok", "  tool calculator ok"]
    trace, found = log.build()
    assert found[search].input == {"q": "shipping"}
    assert found[search].output == "2 days\n - express: 1"
    assert (found[calc].input, found[calc].output) == ("1 + 2", 3)
    assert thought in found["e0"].event_ids
    assert (found["e0"].start, found["e0"].end) == (START, START + 7 * SECOND)
    assert (trace.status, trace.name, trace.output) == ("ok", "AgentExecutor", "3 days.")
    assert (trace.events, trace.spans, trace.tool_calls, trace.errors) == (8, 3, 2, 0)


def test_action_that_is_followed_by_its_call_is_one_tool(log: Scenario) -> None:
    log("agent_start", agent="a")
    first = log("agent_action", tool="search", args="x")
    log("tool_call", tool="search", args="x")
    log("tool_result", tool="search", result="y")
    only = log("agent_action", tool="search", args="z")
    log("tool_result", result="w")
    log("agent_end")

    trace, found = log.build()
    assert found[first].event_ids == [first, "e2", "e3"]
    assert found[only].output == "w"
    assert trace.tool_calls == 2


def test_parallel_calls_by_id(log: Scenario) -> None:
    log("agent_start", agent="a")
    first = log("tool_call", tool="weather", call="c1", args={"city": "Oslo"})
    second = log("tool_call", tool="weather", call="c2", args={"city": "Rome"})
    log("tool_result", call="c2", result="warm")
    log("tool_result", call="c1", result="cold")
    log("agent_end")

    _, found = log.build()
    assert (found[first].output, found[second].output) == ("cold", "warm")
    assert found[first].parent_span_id == found[second].parent_span_id == "e0"
    assert found[second].end == START + 3 * SECOND


def test_parallel_calls_without_ids_are_answered_in_order(log: Scenario) -> None:
    log("agent_start", agent="a")
    calls = [log("tool_call", tool=name) for name in ("weather", "weather", "now")]
    for result in ("cold", "warm", "noon"):
        log("tool_result", result=result)
    log("llm_end", output="more")
    again = [log("tool_call", tool="now"), log("tool_call", tool="weather")]
    log("tool_result", tool="weather", result="wet")
    log("tool_result", tool="now", result="dusk")
    log("agent_end")

    _, found = log.build()
    assert [found[call].output for call in (*calls, *again)] == ["cold", "warm", "noon", "dusk", "wet"]
    assert {found[call].parent_span_id for call in (*calls, *again)} == {"e0"}


def test_result_goes_to_the_latest_call_when_an_earlier_one_was_lost(log: Scenario) -> None:
    log("agent_start", agent="a")
    lost = log("tool_call", tool="search")
    log("llm_start", model="m")
    log("llm_end", model="m")
    call = log("tool_call", tool="search")
    log("tool_result", result="found")
    log("agent_end")

    _, found = log.build()
    assert (found[lost].status, found[lost].output) == ("interrupted", None)
    assert found[call].output == "found"


def test_tool_runs_an_agent(log: Scenario) -> None:
    log("agent_start", agent="AgentExecutor")
    outer = log("tool_call", tool="forecaster", args="Oslo")
    inner_agent = log("agent_start", agent="AgentExecutor")
    inner = log("tool_call", tool="weather")
    log("tool_result", result="21")
    log("agent_finish", output="21 °C")
    log("agent_end")
    log("tool_result", result="21 °C in Oslo")
    log("agent_finish", output="The same.")
    log("agent_end")

    assert log.tree() == [
        "agent AgentExecutor ok",
        "  tool forecaster ok",
        "    agent AgentExecutor ok",
        "      tool weather ok",
    ]
    trace, found = log.build()
    assert (found[outer].output, found[inner_agent].output, found[inner].output) == ("21 °C in Oslo", "21 °C", 21)
    assert trace.output == "The same."


def test_agent_inside_the_first_of_two_calls(log: Scenario) -> None:
    log("agent_start", agent="a")
    first = log("tool_call", tool="ask", call="1")
    log("tool_call", tool="ask", call="2")
    nested = log("agent_start", agent="b")
    log("agent_end", agent="b")
    log("tool_result", call="1", result="x")
    log("tool_result", call="2", result="y")
    log("agent_end", agent="a")
    _, found = log.build()
    assert found[nested].parent_span_id == first


def test_nested_agent_whose_end_is_lost_ends_with_its_tool(log: Scenario) -> None:
    log("agent_start", agent="a")
    tool = log("tool_call", tool="ask")
    inner = log("agent_start", agent="b")
    log("log", message="working")
    log("tool_result", tool="ask", result="x")
    log("agent_end", agent="a")
    _, found = log.build()
    assert (found[inner].status, found[tool].status, found["e0"].status) == ("interrupted", "ok", "ok")
    assert found[inner].end == START + 3 * SECOND


def test_tool_fails_and_the_agent_recovers(log: Scenario) -> None:
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


def test_run_fails_with_a_traceback(log: Scenario) -> None:
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


def test_run_after_one_that_crashed_is_not_inside_it(log: Scenario) -> None:
    log("agent_start", agent="a", input="first")
    log("tool_call", tool="lookup")
    log("error", error_type="ValueError", message="no")
    log("agent_start", agent="a", input="second")
    log("agent_end", agent="a", output="fine")
    assert log.tree() == ["agent a error", "  tool lookup error", "agent a ok"]
    assert log.build()[0].status == "error"


def test_failed_run_that_was_repeated_with_success_is_forgiven(log: Scenario) -> None:
    log("agent_start", agent="a", input="same")
    log("agent_end", agent="a", error_type="ThrottlingError")
    log("agent_start", agent="a", input="same")
    log("agent_end", agent="a", output="fine")
    trace, found = log.build()
    assert (found["e0"].status, trace.status, trace.errors) == ("error", "ok", 1)


@pytest.mark.parametrize(("age", "status"), [(0, "running"), (14 * 60, "running"), (15 * 60, "interrupted")])
def test_run_without_an_end(log: Scenario, age: int, status: str) -> None:
    log("agent_start", agent="a")
    tool = log("tool_call", tool="search")
    trace, found = log.build(now=START + (1 + age) * SECOND)
    assert {found[tool].status, found["e0"].status, trace.status} == {status}
    assert found[tool].end == (None if status == "running" else START + SECOND)


def test_recent_failure_of_a_tool_leaves_its_agent_running(log: Scenario) -> None:
    log("agent_start", agent="a")
    log("tool_call", tool="search")
    log("tool_result", is_error=True, result="503")
    assert log.tree(now=START + 60 * SECOND) == ["agent a running", "  tool search error"]
    assert log.build()[0].status == "error"  # and if nothing follows, that was the end of it


def test_end_of_the_invocation_interrupts_what_is_open(log: Scenario) -> None:
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


def test_lambda_around_an_agent(log: Scenario) -> None:
    log("log", message="INIT_START")
    start = log("invocation_start", request_id="r", **{"faas.name": "orders"})
    inside = log("log", level="INFO", message="cold cache")
    log("agent_start", agent="a")
    log("agent_end", agent="a", output="ok")
    log("invocation_end", request_id="r")
    log("invocation_end", request_id="r", faas_ms=3900.5)  # REPORT
    after = log("log", message="extension flushed")

    trace, found = log.build()
    assert log.tree() == ["invocation orders ok", "  agent a ok"]
    assert found[start].event_ids == [start, inside, "e5", "e6"]
    assert found[start].end == START + SECOND + 3_900_500
    assert all(after not in span.event_ids for span in found.values())
    assert (trace.start, trace.end, trace.name) == (START, START + 7 * SECOND, "a")


def test_crash_outside_any_agent_fails_the_invocation(log: Scenario) -> None:
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("agent_end", agent="a")
    log("error", level="ERROR", error_type="KeyError", message="'x'")
    log("invocation_end", request_id="r")
    trace, found = log.build()
    assert (found["e0"].status, found["e1"].status, trace.status) == ("error", "ok", "error")


def test_retry_of_an_invocation_in_another_stream(log: Scenario) -> None:
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


def test_two_runs_in_sequence(log: Scenario) -> None:
    for question in ("one", "two"):
        log("query", message=question)
        log("agent_start", agent="a", input=question)
        log("tool_call", tool="t", call="call_1", args={"q": 1})
        log("tool_result", call="call_1", result=question)
        log("agent_end", agent="a", output=f"answer {question}")
    trace, found = log.build()
    assert log.tree() == ["agent a ok", "  tool t ok", "agent a ok", "  tool t ok"]
    assert [span.output for span in found.values() if span.kind == "tool"] == ["one", "two"]
    assert (trace.input, trace.output) == ("one", "answer two")


def test_agent_without_an_end_is_over_with_its_answer(log: Scenario) -> None:
    log("agent_start", agent="a")
    log("agent_finish", message="42")
    log("agent_start", agent="b")
    log("agent_finish", message="43")

    trace, found = log.build(now=START + 5 * SECOND)
    assert log.tree(now=START + 5 * SECOND) == ["agent a ok", "agent b ok"]
    assert (found["e0"].end, found["e0"].output, trace.output) == (START + SECOND, "42", "43")


def test_explicit_span_ids_win_over_order(log: Scenario) -> None:
    # Two agents side by side in one stream, as tracing exporters log them: each line with its ids.
    log("chain_start", span_id="R", name="both")
    log("agent_start", span_id="A", parent_span_id="R", agent="a")
    log("agent_start", span_id="B", parent_span_id="R", agent="b")
    model = log("llm_end", span_id="A1", parent_span_id="A", model="m", duration_ms=500)
    note = log("message", span_id="B1", message="about the span to come")
    log("agent_end", span_id="A")
    tool = log("tool_result", span_id="B1", parent_span_id="B", tool="t", result=[1])
    log("agent_end", span_id="B")
    log("chain_end", span_id="R")

    assert log.tree() == ["chain both ok", "  agent a ok", "    llm m ok", "  agent b ok", "    tool t ok"]
    _, found = log.build()
    assert (found[model].start, found[model].end) == (START + 2_500_000, START + 3 * SECOND)
    assert found[tool].event_ids == [note, tool]
    assert (found["e1"].end, found["e2"].end) == (START + 5 * SECOND, START + 7 * SECOND)


def test_span_id_that_a_tracing_library_stamps_on_every_line_names_nothing(log: Scenario) -> None:
    log("agent_start", agent="a", span_id="http")
    for name in ("x", "y"):
        log("tool_call", tool=name, span_id="http")
        log("tool_result", tool=name, result=name, span_id="http")
    log("agent_end", agent="a", span_id="http")
    assert log.tree() == ["agent a ok", "  tool x ok", "  tool y ok"]


def test_parent_event_id_wins_over_order(log: Scenario) -> None:
    log("agent_start", agent="a", event_id="a", stream="one")
    log("agent_start", agent="b", event_id="b", stream="two", parent_event_id="a")
    reply = log("llm_end", stream="two", event_id="reply")
    tool = log("tool_call", tool="t", stream="three", parent_event_id=reply)
    log("tool_result", stream="four", parent_event_id=tool, result="r")
    _, found = log.build()
    assert found["b"].parent_span_id == "a"
    assert found[tool].parent_span_id == "b", "a call that a reply led to is beside that reply"
    assert found[tool].output == "r"


def test_call_that_carries_its_result(log: Scenario) -> None:
    call = log("tool_call", tool="t", args="{}", result='{"a": [1]}', duration_ms=20)
    other = log("tool_call", tool="t")
    log("tool_result", result="x")
    _, found = log.build()
    assert (found[call].input, found[call].output, found[call].end) == ({}, {"a": [1]}, START + 20_000)
    assert found[other].output == "x"


def test_result_without_a_call_is_a_tool_by_itself(log: Scenario) -> None:
    log("agent_start", agent="a")
    result = log("tool_result", tool="t", call="c9", result="x")
    log("agent_end")
    _, found = log.build()
    span = found[result]
    assert (span.kind, span.name, span.input, span.output, span.parent_span_id) == ("tool", "t", None, "x", "e0")
    assert (span.start, span.end, span.status) == (START + SECOND, START + SECOND, "ok")


def test_result_logged_before_its_call_still_finds_it(log: Scenario) -> None:
    log("tool_result", stream="worker", call="c", result="x")
    call = log("tool_call", stream="agent", tool="t", call="c", args="y")
    _, found = log.build()
    assert list(found) == [call]
    assert (found[call].input, found[call].output, found[call].start) == ("y", "x", found[call].end)


def test_repeated_lines_of_one_call_are_one_tool(log: Scenario) -> None:
    # LangGraph prints each message once per mode.
    for _ in range(2):
        log("tool_call", tool="t", call="c", args={"a": 1})
    for _ in range(2):
        log("tool_result", tool="t", call="c", result="r")
    trace, found = log.build()
    assert trace.tool_calls == 1
    assert found["e0"].event_ids == ["e0", "e1", "e2", "e3"]


def test_llm_calls_side_by_side_and_retried(log: Scenario) -> None:
    first = log("llm_start", model="m", prompt="1")
    second = log("llm_start", model="m", prompt="2")
    log("llm_end", model="m", output="one")
    log("llm_end", model="m", output="two")
    failed = log("llm_start", model="m")
    log("error", error_type="Throttled", message="slow down")
    retry = log("llm_start", model="m")
    log("llm_end", output="three")
    trace, found = log.build()
    assert [found[s].output for s in (first, second, failed, retry)] == ["one", "two", None, "three"]
    assert [found[s].status for s in (first, second, failed, retry)] == ["ok", "ok", "error", "ok"]
    assert {span.parent_span_id for span in found.values()} == {None}
    assert (trace.status, trace.llm_calls, trace.input, trace.output) == ("ok", 4, "1", "three")


def test_retrieval_and_chains(log: Scenario) -> None:
    log("chain_start", name="rag", input={"question": "why?"})
    log("chain_start", name="inner")
    found_docs = log("retrieval", query="why", documents=["d"], duration_ms=3)
    log("chain_end", name="inner")
    log("chain_end", name="rag", output={"answer": "because"})
    trace, found = log.build()
    assert log.tree() == ["chain rag ok", "  chain inner ok", "    retrieval retrieval ok"]
    assert (found[found_docs].input, found[found_docs].output) == ("why", ["d"])
    assert (trace.name, trace.input, trace.output) == ("rag", "why?", "because")


def test_tokens_are_counted_once(log: Scenario) -> None:
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


def test_tokens_of_messages_alone(log: Scenario) -> None:
    log("agent_start", agent="a")
    for reply, tokens in (("x", 10), ("x", 10), ("y", 7)):  # printed twice
        log("message", role="assistant", message=reply, message_id=reply, input_tokens=tokens)
    log("agent_end")
    assert log.build()[0].tokens == Tokens(17, None)


def test_error_that_is_passed_on_counts_once(log: Scenario) -> None:
    log("chain_start", name="c")
    log("tool_call", tool="t")
    log("tool_result", error_type="ValueError", message="no")
    log("chain_end", name="c", error_type="ValueError", message="no")
    trace = log.build()[0]
    assert (trace.status, trace.errors) == ("error", 1)


def test_level_error_attaches_to_the_innermost_span(log: Scenario) -> None:
    log("agent_start", agent="a")
    tool = log("tool_call", tool="t")
    line = log("log", level="ERROR", message="connection reset, trying again")
    log("tool_result", result="fine")
    log("agent_end", agent="a")
    trace, found = log.build()
    assert line in found[tool].event_ids
    assert (found[tool].status, found["e0"].status, trace.status, trace.errors) == ("error", "ok", "ok", 1)


def test_own_time_of_the_end_wins_over_a_duration(log: Scenario) -> None:
    stated = log("llm_start", own_time=0.5)
    log("llm_end", own_time=0.9, duration_ms=300)
    timed = log("llm_start", own_time=2)
    log("llm_end", at=30, duration_ms=250)
    backwards = log("llm_start", own_time=40, at=40)
    log("llm_end", own_time=35, at=41)
    _, found = log.build()
    assert (found[stated].start, found[stated].end) == (START + 500_000, START + 900_000)
    assert found[timed].end == START + 2_250_000
    assert found[backwards].end == found[backwards].start == START + 40 * SECOND


def test_end_that_is_sorted_behind_the_window_still_counts(log: Scenario) -> None:
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("invocation_end", request_id="r")
    log("agent_end", agent="a", output="late")
    assert log.tree() == ["invocation invocation ok", "  agent a ok"]


def test_events_of_one_time_that_a_client_posts_nest(log: Scenario) -> None:
    for id_, type_ in (("z", "agent_start"), ("y", "chain_start"), ("b", "chain_end"), ("a", "agent_end")):
        log(type_, event_id=id_, at=0, stream="", name=type_[:5])
    assert log.tree() == ["agent agent ok", "  chain chain ok"]


def test_parts_and_log_ids_are_ordered_by_number(log: Scenario) -> None:
    log("agent_start", agent="a", at=0)
    for part in range(12):
        log("tool_call" if part % 2 == 0 else "tool_result", tool=f"t{part // 2}", at=0)
        source = log.events[-1].source
        assert source is not None
        source.log_id, source.part = "7", f"0.{part}"
    assert log.tree()[1:] == [f"  tool t{n} ok" for n in range(6)]


def test_trace_of_nothing_but_lines(log: Scenario) -> None:
    log("log", message="hello", agent_id="bot", session_id="s1", basis="session_id")
    log("log", message="bye", basis="request_id")
    trace, found = log.build()
    assert found == {}
    assert (trace.status, trace.name, trace.agent_id, trace.session_id) == ("ok", "bot", "bot", "s1")
    assert (trace.basis, trace.trace_id, trace.events) == ("request_id", "t", 2)
    log("log", level="CRITICAL", message="boom")
    assert log.build()[0].status == "error"


def test_long_texts_are_cut_in_the_summary_alone(log: Scenario) -> None:
    log("agent_start", agent="a", input="x" * 10_000)
    log("agent_end")
    trace, found = log.build()
    assert trace.input is not None
    assert len(trace.input) == 4000
    assert len(found["e0"].input) == 10_000


def test_causes(log: Scenario) -> None:
    log("agent_start", agent="a")
    log("tool_call", tool="t")
    log("tool_result", result="x")
    log("tool_result", tool="orphan", result="y")
    log("agent_end")
    assert spans.causes(log.events) == [("e0", "e4", "end"), ("e1", "e2", "result")]
    assert spans.causes([]) == []


def test_no_events_is_a_callers_mistake() -> None:
    with pytest.raises(ValueError, match="without events"):
        spans.build([], now=0)
