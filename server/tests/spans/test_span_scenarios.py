"""Logs as the frameworks write them, and the spans that a reader would draw."""

from __future__ import annotations

from vectadb_server import spans

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def test_react_run_with_two_tools(log):
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


def test_action_that_is_followed_by_its_call_is_one_tool(log):
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


def beside(log, *tools):
    return [log("tool_call", tool=tool, args={"of": tool}) for tool in tools]


def outputs(log, *calls):
    _, found = log.build()
    return [found[call].output for call in calls]


def test_parallel_calls_by_their_tools_place_as_one_alone_has_told_it(log):
    log("agent_start", agent="a")
    log("tool_call", tool="weather")
    log("tool_result", result="warm", tool_place=1)
    calls = beside(log, "weather", "search")
    log("tool_result", result="found", tool_place=0)
    log("tool_result", result="cold", tool_place=1)
    assert outputs(log, *calls) == ["cold", "found"]


def test_parallel_calls_by_their_tools_place_that_is_told_later(log):
    log("agent_start", agent="a")
    calls = beside(log, "weather", "search", "clock")
    for result, place in (("found", 0), ("noon", 1), ("warm", 2)):
        log("tool_result", result=result, tool_place=place)
    assert outputs(log, *calls) == ["found", "noon", "warm"]  # as if they had been called in the list's order
    for tool, place in (("clock", 1), ("search", 0)):
        log("tool_call", tool=tool)
        log("tool_result", result="again", tool_place=place)
    assert outputs(log, *calls) == ["warm", "found", "noon"]


def test_what_was_guessed_of_a_place_is_not_taken_for_known(log):
    log("agent_start", agent="a")
    first = beside(log, "clock", "search")
    log("tool_result", result="found", tool_place=0)
    log("tool_result", result="noon", tool_place=1)
    second = beside(log, "search", "clock")
    log("tool_result", result="noon", tool_place=1)
    log("tool_result", result="found", tool_place=0)
    log("tool_call", tool="clock")
    log("tool_result", result="again", tool_place=1)
    assert outputs(log, *first, *second) == ["noon", "found", "found", "noon"]


def test_equal_calls_beside_another_tools(log):
    log("agent_start", agent="a")
    oslo, rome, clock = beside(log, "weather", "weather", "clock")
    for result, place in (("noon", 1), ("cold", 0), ("warm", 0)):
        log("tool_result", result=result, tool_place=place)
    assert outputs(log, clock, oslo, rome) == ["noon", "cold", "warm"]  # of the two, in the order of their calls


def test_results_around_a_nested_agent_by_their_tools_place(log):
    log("agent_start", agent="outer")
    calls = beside(log, "weather", "research", "clock")
    log("agent_start", agent="inner")
    search = log("tool_call", tool="search")
    for result, place in (("noon", 2), ("found", 0)):
        log("tool_result", result=result, tool_place=place)
    log("agent_finish", output="all")
    log("chain_end")
    for result, place in (("all", 1), ("warm", 0)):
        log("tool_result", result=result, tool_place=place)
    log("chain_end")
    assert outputs(log, *calls, search) == ["warm", "all", "noon", "found"]


def test_a_lone_call_around_a_nested_agent_waits_whatever_the_place(log):
    log("agent_start", agent="outer")
    log("tool_call", tool="search")
    log("tool_result", result="found", tool_place=0)
    ask = log("tool_call", tool="ask")
    log("agent_start", agent="inner")
    search = log("tool_call", tool="search")
    log("tool_result", result="found", tool_place=1)
    log("chain_end")
    log("tool_result", result="all", tool_place=1)
    assert outputs(log, ask, search) == ["all", "found"]


def test_a_place_without_a_call_is_no_tools(log):
    log("chain_start", name="SimpleSequentialChain")
    log("tool_result", result="an idea", tool_place=0)
    log("chain_end")
    assert log.tree() == ["chain SimpleSequentialChain ok"]


def test_parallel_calls_by_id(log):
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


def test_parallel_calls_without_ids_are_answered_in_order(log):
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


def test_result_goes_to_the_latest_call_when_an_earlier_one_was_lost(log):
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


def test_tool_runs_an_agent(log):
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


def test_agent_inside_the_first_of_two_calls(log):
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


def test_nested_agent_whose_end_is_lost_ends_with_its_tool(log):
    log("agent_start", agent="a")
    tool = log("tool_call", tool="ask")
    inner = log("agent_start", agent="b")
    log("log", message="working")
    log("tool_result", tool="ask", result="x")
    log("agent_end", agent="a")
    _, found = log.build()
    assert (found[inner].status, found[tool].status, found["e0"].status) == ("interrupted", "ok", "ok")
    assert found[inner].end == START + 3 * SECOND


def test_two_runs_in_sequence(log):
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


def test_explicit_span_ids_win_over_order(log):
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


def test_span_id_that_a_tracing_library_stamps_on_every_line_names_nothing(log):
    log("agent_start", agent="a", span_id="http")
    for name in ("x", "y"):
        log("tool_call", tool=name, span_id="http")
        log("tool_result", tool=name, result=name, span_id="http")
    log("agent_end", agent="a", span_id="http")
    assert log.tree() == ["agent a ok", "  tool x ok", "  tool y ok"]


def test_paths_of_langchains_debug_output(log):
    agent, sequence = "chain:AgentExecutor", "chain:AgentExecutor > chain:Seq"
    log("agent_start", name="AgentExecutor", path=agent)
    log("chain_start", name="Seq", path=sequence)
    log("llm_start", name="Chat", path=f"{sequence} > llm:Chat")
    log("llm_end", name="Chat", path=f"{sequence} > llm:Chat", model="gpt")
    # The reply's calls are told before the chain around the model has ended, but it is the agent that runs them.
    ask = log("tool_call", tool="ask", call="1", path=f"{sequence} > llm:Chat")
    log("tool_call", tool="now", call="2", path=f"{sequence} > llm:Chat")
    log("chain_start", name="Parser", path=f"{sequence} > parser:Parser")
    log("chain_end", name="Parser", path=f"{sequence} > parser:Parser")
    log("chain_end", name="Seq", path=sequence)
    log("agent_start", name="AgentExecutor", path=f"{agent} > tool:ask > chain:AgentExecutor")
    log("error", error_type="ValueError", message="no", path=f"{agent} > tool:ask > chain:AgentExecutor")
    log("agent_end", name="AgentExecutor", error_type="ValueError", message="no")
    log("error", error_type="ValueError", message="no", path=f"{agent} > tool:ask")
    log("tool_result", name="ask", error_type="ValueError", message="no", path=f"{agent} > tool:ask")
    log("tool_result", name="now", result="noon", path=f"{agent} > tool:now")
    log("agent_finish", message="It is noon.", path=agent)
    log("agent_end", name="AgentExecutor", path=agent)

    assert log.tree() == [
        "agent AgentExecutor ok",
        "  chain Seq ok",
        "    llm Chat ok",
        "    chain Parser ok",
        "  tool ask error",
        "    agent AgentExecutor error",
        "  tool now ok",
    ]
    trace, found = log.build()
    assert found[ask].error == "ValueError: no"
    assert (trace.status, trace.errors, trace.output) == ("ok", 1, "It is noon.")


def test_parent_event_id_wins_over_order(log):
    log("agent_start", agent="a", event_id="a", stream="one")
    log("agent_start", agent="b", event_id="b", stream="two", parent_event_id="a")
    reply = log("llm_end", stream="two", event_id="reply")
    tool = log("tool_call", tool="t", stream="three", parent_event_id=reply)
    log("tool_result", stream="four", parent_event_id=tool, result="r")
    _, found = log.build()
    assert found["b"].parent_span_id == "a"
    assert found[tool].parent_span_id == "b", "a call that a reply led to is beside that reply"
    assert found[tool].output == "r"


def test_call_that_carries_its_result(log):
    call = log("tool_call", tool="t", args="{}", result='{"a": [1]}', duration_ms=20)
    other = log("tool_call", tool="t")
    log("tool_result", result="x")
    _, found = log.build()
    assert (found[call].input, found[call].output, found[call].end) == ({}, {"a": [1]}, START + 20_000)
    assert found[other].output == "x"


def test_result_without_a_call_is_a_tool_by_itself(log):
    log("agent_start", agent="a")
    result = log("tool_result", tool="t", call="c9", result="x")
    log("agent_end")
    _, found = log.build()
    span = found[result]
    assert (span.kind, span.name, span.input, span.output, span.parent_span_id) == ("tool", "t", None, "x", "e0")
    assert (span.start, span.end, span.status) == (START + SECOND, START + SECOND, "ok")


def test_result_logged_before_its_call_still_finds_it(log):
    log("tool_result", stream="worker", call="c", result="x")
    call = log("tool_call", stream="agent", tool="t", call="c", args="y")
    _, found = log.build()
    assert list(found) == [call]
    assert (found[call].input, found[call].output, found[call].start) == ("y", "x", found[call].end)


def test_repeated_lines_of_one_call_are_one_tool(log):
    # LangGraph prints each message once per mode.
    for _ in range(2):
        log("tool_call", tool="t", call="c", args={"a": 1})
    for _ in range(2):
        log("tool_result", tool="t", call="c", result="r")
    trace, found = log.build()
    assert trace.tool_calls == 1
    assert found["e0"].event_ids == ["e0", "e1", "e2", "e3"]


def test_llm_calls_side_by_side_and_retried(log):
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


def test_retrieval_and_chains(log):
    log("chain_start", name="rag", input={"question": "why?"})
    log("chain_start", name="inner")
    found_docs = log("retrieval", query="why", documents=["d"], duration_ms=3)
    log("chain_end", name="inner")
    log("chain_end", name="rag", output={"answer": "because"})
    trace, found = log.build()
    assert log.tree() == ["chain rag ok", "  chain inner ok", "    retrieval retrieval ok"]
    assert (found[found_docs].input, found[found_docs].output) == ("why", ["d"])
    assert (trace.name, trace.input, trace.output) == ("rag", "why?", "because")


def test_own_time_of_the_end_wins_over_a_duration(log):
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


def test_end_that_is_sorted_behind_the_window_still_counts(log):
    log("invocation_start", request_id="r")
    log("agent_start", agent="a")
    log("invocation_end", request_id="r")
    log("agent_end", agent="a", output="late")
    assert log.tree() == ["invocation invocation ok", "  agent a ok"]


def test_events_of_one_time_that_a_client_posts_nest(log):
    for id_, type_ in (("z", "agent_start"), ("y", "chain_start"), ("b", "chain_end"), ("a", "agent_end")):
        log(type_, event_id=id_, at=0, stream="", name=type_[:5])
    assert log.tree() == ["agent agent ok", "  chain chain ok"]


def test_parts_and_log_ids_are_ordered_by_number(log):
    log("agent_start", agent="a", at=0)
    for part in range(12):
        log("tool_call" if part % 2 == 0 else "tool_result", tool=f"t{part // 2}", at=0)
        source = log.events[-1].source
        assert source is not None
        source.log_id, source.part = "7", f"0.{part}"
    assert log.tree()[1:] == [f"  tool t{n} ok" for n in range(6)]


def test_causes(log):
    log("agent_start", agent="a")
    log("tool_call", tool="t")
    log("tool_result", result="x")
    log("tool_result", tool="orphan", result="y")
    log("agent_end")
    assert spans.rebuild(log.events, now=0)[2] == [("e0", "e4", "end"), ("e1", "e2", "result")]


def test_call_after_a_result_is_not_one_of_the_calls_before(log):
    log("agent_start", agent="a")
    calls = [log("tool_call", tool=name) for name in ("x", "lost")]
    log("tool_result", result=1)
    calls.append(log("tool_call", tool="y"))
    log("tool_result", result=2)
    log("agent_end")
    _, found = log.build()
    assert [found[call].output for call in calls] == [1, None, 2]


def test_two_actions_and_then_their_calls(log):
    log("agent_start", agent="a")
    actions = [log("agent_action", tool="t", args=n) for n in (1, 2)]
    calls = [log("tool_call", tool="t", args=n) for n in (1, 2)]
    _, found = log.build()
    assert [found[action].event_ids for action in actions] == [list(pair) for pair in zip(actions, calls, strict=True)]


def test_model_call_without_an_end_is_over_once_its_tool_is_called(log):
    log("agent_start", agent="a")
    model = log("llm_start")
    log("tool_call", tool="t")
    log("tool_result", result=1)
    line = log("log", message="back in the agent")
    log("agent_end")
    _, found = log.build()
    assert found[model].status == "interrupted"
    assert line in found["e0"].event_ids


def test_end_that_is_printed_twice_does_not_end_what_is_around(log):
    log("agent_start", agent="outer")
    log("agent_start", agent="inner")
    log("agent_end", agent="inner")
    again = log("agent_end", agent="inner")
    tool = log("tool_call", tool="t", result=1)
    log("agent_end", agent="outer")
    _, found = log.build()
    assert again in found["e1"].event_ids
    assert found[tool].parent_span_id == "e0"


def test_exported_span_does_not_end_one_that_is_open(log):
    log("agent_start", agent="a")
    exported = log("agent_end", agent="b", span_id="B", duration_ms=100)
    log("agent_end", agent="a")
    _, found = log.build()
    assert found["e0"].event_ids == ["e0", "e2"]
    assert found[exported].name == "b"


def test_end_in_a_second_invocation_is_not_of_the_first(log):
    log("invocation_start", request_id="r1")
    log("agent_start", agent="a")
    log("invocation_end", request_id="r1")
    log("invocation_start", request_id="r2")
    end = log("agent_end")
    _, found = log.build()
    assert found["e1"].status == "interrupted"
    assert found[end].parent_span_id == "e3"


def test_parents_that_contradict_each_other_make_no_circle(log):
    for own, above in (("A", "B"), ("B", "C"), ("C", "A"), ("D", "D")):
        log("agent_end", span_id=own, parent_span_id=above, agent=own)
    assert log.tree() == ["agent C ok", "  agent B ok", "    agent A ok", "agent D ok"]


def test_an_agent_whose_starts_are_not_told_resumes_and_ends_what_it_had_called(log):
    # As the OpenAI SDK's log tells it: a further turn of the outer agent is all that says the inner one is done.
    log("agent_start", agent="planner", turn=1, resumes=False)
    log("tool_call", tool="ask")
    log("agent_start", agent="researcher", turn=1, resumes=False)
    log("tool_call", tool="search")
    log("tool_result", tool="search", result="found")
    log("agent_start", agent="planner", turn=2, resumes=True)
    log("tool_call", tool="lookup")
    log("tool_result", tool="lookup", result="there")
    log("agent_finish", message="done")

    assert log.tree() == [
        "agent planner ok",
        "  tool ask interrupted",
        "    agent researcher interrupted",
        "      tool search ok",
        "  tool lookup ok",
    ]


def test_signs_of_life_of_agents_that_take_turns(log):
    for agent in ("writer", "writer", "critic", "writer"):
        log("agent_start", agent=agent, resumes=True)
        log("llm_end", model="m")
    assert log.tree() == [
        "agent writer interrupted",
        "  llm m ok",
        "  llm m ok",
        "agent critic interrupted",
        "  llm m ok",
        "agent writer interrupted",
        "  llm m ok",
    ]


def test_calls_that_a_reply_announced_are_told_apart_by_their_arguments(log):
    log("agent_start", agent="a")
    first = log("agent_action", tool="t", tool_call_id="1", tool_input={"city": "Oslo"})
    second = log("agent_action", tool="t", tool_call_id="2", tool_input={"city": "Rome"})
    # They are told once they have returned, the later one first, and without their ids.
    for city in ("Rome", "Oslo"):
        log("tool_result", tool="t", tool_input={"city": city}, result=f"in {city}")
    _, found = log.build()
    assert (found[first].output, found[second].output) == ("in Oslo", "in Rome")
    assert len(found) == 3


def test_announced_calls_are_claimed_by_their_arguments(log):
    log("agent_start", agent="a")
    first = log("agent_action", tool="t", tool_call_id="1", tool_input={"city": "Oslo"})
    second = log("agent_action", tool="t", tool_call_id="2", tool_input={"city": "Rome"})
    rome = log("tool_call", tool="t", tool_input={"city": "Rome"})
    oslo = log("tool_call", tool="t", tool_input={"city": "Oslo"})
    _, found = log.build()
    assert (found[first].event_ids, found[second].event_ids) == ([first, oslo], [second, rome])


def test_what_model_calls_cost(log):
    log("agent_start", agent="a", model="gpt-4o", input_tokens=3_000_000, output_tokens=0)
    paid = log("llm_end", model="gpt-4o-2024-11-20", input_tokens=1_000_000, output_tokens=100_000)
    log("llm_end", model="gpt-4o-mini", input_tokens=1_000_000, output_tokens=0)
    unknown = log("llm_end", model="house", input_tokens=1_000_000, output_tokens=0)
    trace, found = log.build()
    assert found[paid].cost_usd == 3.5
    assert found[unknown].cost_usd is None
    assert trace.cost_usd == 3.65


def test_a_chain_whose_steps_are_an_agents_is_an_agent(log):
    desk, inner = "chain:desk", "chain:desk > chain:tools > tool:ask > chain:clerk"
    log("chain_start", name="desk", path=desk)
    log("chain_start", name="model", path=f"{desk} > chain:model", parent_kind="agent")
    log("llm_start", name="Chat", path=f"{desk} > chain:model > llm:Chat")
    log("llm_end", name="Chat", path=f"{desk} > chain:model > llm:Chat", model="gpt")
    log("tool_call", tool="ask", call="1", path=f"{desk} > chain:model > llm:Chat")
    log("chain_end", name="model", path=f"{desk} > chain:model")
    log("chain_start", name="tools", path=f"{desk} > chain:tools", parent_kind="agent")
    log("chain_start", name="clerk", path=inner)
    log("chain_start", name="model", path=f"{inner} > chain:model", parent_kind="agent")
    log("chain_end", name="model", path=f"{inner} > chain:model")
    log("chain_end", name="clerk", path=inner)
    log("tool_result", tool="ask", call="1", result="yes", path=f"{desk} > chain:tools > tool:ask")
    log("chain_end", name="tools", path=f"{desk} > chain:tools")
    log("agent_finish", message="Yes.")
    log("chain_end", name="desk", path=desk)

    assert log.tree() == [
        "agent desk ok",
        "  chain model ok",
        "    llm Chat ok",
        "  tool ask ok",
        "    agent clerk ok",
        "      chain model ok",
        "  chain tools ok",
    ]
    trace, _ = log.build()
    assert (trace.name, trace.output) == ("desk", "Yes.")


def test_replies_of_one_model_asked_twice_at_once(log):
    path = "chain:Map > llm:Chat"
    log("chain_start", name="Map", path="chain:Map")
    asked = [log("llm_start", name="Chat", path=path, prompt=text) for text in ("a", "b", "c")]
    for text in ("A", "B", "C"):
        log("llm_end", name="Chat", path=path, model=f"gpt-{text}", output=text)

    _, found = log.build()
    assert [(found[id_].model, found[id_].output) for id_ in asked] == [("gpt-A", "A"), ("gpt-B", "B"), ("gpt-C", "C")]


def test_a_result_whose_call_is_not_told_is_of_no_call_that_waits(log):
    waiting = log("tool_call", tool="research", args="x")
    alone = log("tool_result", result="found", call_not_told=True)
    log("tool_result", result="all of it")

    _, found = log.build()
    assert (found[waiting].output, found[alone].output) == ("all of it", "found")
    assert len(found) == 2
