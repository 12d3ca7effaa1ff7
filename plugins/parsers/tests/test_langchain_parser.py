"""The langchain parser on output that the recordings lack: without colours, of older versions, cut short."""

from __future__ import annotations

import json

import pytest

from vectadb_agent_parsers import LangChainParser, PythonLoggingParser

PARSER = LangChainParser(LangChainParser.Config(type="langchain"))
GREEN, BLUE, RESET = "\x1b[32;1m\x1b[1;3m", "\x1b[36;1m\x1b[1;3m", "\x1b[0m"


def told(join, *texts, parsers=(PARSER,)):
    """(type, what it says) of every event, and the texts that nobody took."""
    words = []
    for each in join(list(parsers), *texts):
        owner = parsers[each.owner] if each.owner is not None else None
        events = (owner or PARSER).parse(each.block)
        if events is None:
            words.append(each.block.text)
            continue
        for event in events:
            said = {key: value for key, value in event.properties.items() if key not in ("framework", "path")}
            words.append((event.event_type, said))
    return words


def call(tool, arguments, **more):
    return ("tool_call", {**more, "gen_ai.tool.name": tool, "gen_ai.tool.call.arguments": arguments})


def result(text, **more):
    return ("tool_result", {**more, "gen_ai.tool.call.result": text})


def blue(text):
    """A result in blue: of the first tool in the agent's list, or the fourth."""
    return result(text, tool_place=0)


def lines(text):
    return text.splitlines(keepends=True)


def test_without_colours(join):
    text = (
        "\n\n> Entering new AgentExecutor chain...\n"
        "Thought: look it up\nAction: search\nAction Input: socks\n"
        "Observation: one\ntwo\n\nThought: I now know\nFinal Answer: 3\nlines\n\n> Finished chain.\n"
    )
    assert told(join, *lines(text)) == [
        "\n",
        "\n",
        ("agent_start", {"gen_ai.agent.name": "AgentExecutor", "name": "AgentExecutor", "run_boundary": "start"}),
        ("agent_thought", {"message": "look it up"}),
        call("search", "socks"),
        result("one\ntwo\n"),
        ("agent_thought", {"message": "I now know"}),
        ("agent_finish", {"message": "3\nlines"}),
        ("agent_end", {"unnamed": True, "run_boundary": "end"}),
    ]


def test_tool_calls_without_colours(join):
    text = "Invoking: `search` with `{'q': None}`\nresponded: let me see\n\nunrelated\n"
    assert told(join, *lines(text)) == [
        ("agent_thought", {"message": "let me see"}),
        call("search", {"q": None}),
        "\n",
        "unrelated\n",
    ]


@pytest.mark.parametrize(
    "text", ["Action: deploy\n", "> quoted text\n", "Action items\n", "[tool/x] y\n", "\x1b[32mok\x1b[0m\n"]
)
def test_lookalikes_are_left_to_others(join, text):
    assert told(join, text, "next\n") == [text, "next\n"]


def test_a_result_with_colours_that_are_never_reset(join):
    text = (
        f"{BLUE}a \x1b[31mred{RESET}{GREEN} t\nAction: x\nAction Input: y{RESET}"
        f"{BLUE}b{RESET}plain{RESET}{GREEN} u{RESET}\n"
    )
    assert told(join, *lines(text)) == [
        blue("a \x1b[31mred"),
        ("agent_thought", {"message": "t"}),
        call("x", "y"),
        blue(f"b{RESET}plain"),
        result(" u", call_not_told=True),
    ]


def test_an_unreadable_step_in_an_agent_that_labels_its_observations(join):
    text = (
        f"{GREEN} go\nAction: browser\nAction Input: x{RESET}\n"
        "Observation: browser is not a valid tool, try one of [search].\n"
        f"Thought:{GREEN}no{RESET}\n\n\x1b[1m> Finished chain.{RESET}\n"
    )
    words = told(join, *lines(text))
    assert words[1] == call("browser", "x")
    assert words[2][1]["gen_ai.tool.call.result"] == "browser is not a valid tool, try one of [search]."
    assert words[2][1]["error.type"] == "InvalidTool"
    assert words[3:] == [
        ("agent_finish", {"message": "no"}),
        ("agent_end", {"unnamed": True, "run_boundary": "end"}),
    ]


def test_what_a_tool_prints_is_not_its_result(join):
    action = f"{GREEN} go\nAction: search\nAction Input: x{RESET}"
    text = f"{action}asking\nstill asking\n{BLUE}found{RESET}{GREEN} done{RESET}\n"
    assert told(join, *lines(text))[1:5] == [call("search", "x"), "asking\n", "still asking\n", blue("found")]


def test_a_traceback_behind_an_action(join):
    logging_ = PythonLoggingParser(PythonLoggingParser.Config(type="python_logging"))
    text = f'{GREEN} go\nAction: s\nAction Input: x{RESET}Traceback (most recent call last):\n  File "a"\nKeyError: 1\n'
    words = told(join, *lines(text), parsers=(PARSER, logging_))
    assert [word[0] for word in words] == ["agent_thought", "tool_call", "error"]
    assert words[2][1]["error.type"] == "KeyError"


@pytest.mark.parametrize(("colour", "place"), [("36;1", 0), ("33;1", 1), ("38;5;200", 2)])
def test_a_results_colour_is_its_tools_place(join, colour, place):
    assert told(join, f"\x1b[{colour}m\x1b[1;3mfound{RESET}\n") == [result("found", tool_place=place)]


def test_a_tool_that_does_not_exist_beside_one_that_does(join):
    actions = "".join(f"{GREEN}\nInvoking: `{name}` with `{{}}`\n\n\n{RESET}" for name in ("browser", "now"))
    unknown = "browser is not a valid tool, try one of [now]."
    text = f"{actions}{unknown}{BLUE}noon{RESET}{GREEN} done{RESET}\n"
    invalid = result(unknown, **{"gen_ai.tool.name": "browser", "error.type": "InvalidTool"})
    assert told(join, *lines(text))[:4] == [call("browser", {}), call("now", {}), invalid, blue("noon")]


REQUEST = "8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad"
LOG_LINES = [
    "2026-01-01 00:00:00,123 INFO httpx: found\n",
    '{"time": "2026-01-01T00:00:00Z", "level": "INFO"}\n',
    f"START RequestId: {REQUEST} Version: $LATEST\n",
    f"[INFO]\t2026-01-01T00:00:00.123Z\t{REQUEST}\tfound\n",
    f"2026-01-01T00:00:00.123Z {REQUEST} Task timed out after 3.00 seconds\n",
]


@pytest.mark.parametrize("line", LOG_LINES)
@pytest.mark.parametrize("before", ["", "2 lines:\n\n", "```\n", "12:00:01 started\n", "2 lines:\n```\n"])
def test_log_lines_in_a_result_are_its_own_where_they_are_announced_or_begin_it(join, before, line):
    text = f"{before}{line}{line}and that is all\n{line}"
    assert told(join, *lines(f"{BLUE}{text}{RESET}{GREEN} done{RESET}\n"))[0] == blue(text)
    entry = "\x1b[36;1m\x1b[1;3m[tool/end]\x1b[0m \x1b[1m[tool:logs] [1ms] Exiting Tool run with output:\n"
    assert told(join, *lines(f'{entry}\x1b[0m"{text}"\n'))[0][1]["gen_ai.tool.call.result"] == text


@pytest.mark.parametrize("line", LOG_LINES)
@pytest.mark.parametrize("before", ["two\n", "2 lines:\nas follows\n"])
def test_other_log_lines_in_a_result_came_between(join, before, line):
    told_ = told(join, *lines(f"{BLUE}{before}{line}three{RESET}{GREEN} done{RESET}\n"))
    assert (line in told_, blue(f"{before}three") in told_) == (True, True)


@pytest.mark.parametrize("line", LOG_LINES)
@pytest.mark.parametrize("printed", ['"two"', '"a "b" c"', '"\n2 "inches" lines:"'])
def test_a_log_line_behind_a_quoted_result_is_none_of_it(join, printed, line):
    entry = "\x1b[36;1m\x1b[1;3m[tool/end]\x1b[0m \x1b[1m[tool:logs] [1ms] Exiting Tool run with output:\n"
    assert told(join, *lines(f"{entry}\x1b[0m{printed}\n"), line)[1:] == [line]


def test_a_block_that_is_cut_short_says_what_it_has(join):
    assert told(join, f"{GREEN} go\n", "Action: search\n", "Action Input: so")[1] == call("search", "so")
    assert told(join, f"{BLUE}one\n", "two") == [blue("one\ntwo")]


def test_debug_output_of_older_versions(join):
    """Crumbs with numbers, no colours, and the start of a tool that repeats what the model's reply has told."""
    reply = {
        "generations": [[{"text": "", "message": {"kwargs": {"content": "", "tool_calls": [
            {"name": "search", "args": {"q": "x"}, "id": "c1"}, {"name": "note", "args": {"__arg1": "y"}, "id": "c2"},
        ]}}}]],
        "llm_output": {"token_usage": {"prompt_tokens": 7, "completion_tokens": 2}, "model_name": "gpt"},
    }  # fmt: skip
    text = (
        "[chain/start] [1:chain:AgentExecutor] Entering Chain run with input:\n{}\n"
        "[llm/end] [1:chain:AgentExecutor > 2:llm:ChatOpenAI] [1.20s] Exiting LLM run with output:\n"
        + json.dumps(reply, indent=2)
        + "\n[tool/start] [1:chain:AgentExecutor > 3:tool:search] Entering Tool run with input:\n\"{'q': 'x'}\"\n"
        "printed by the tool\n"
        '[tool/end] [1:chain:AgentExecutor > 3:tool:search] [3ms] Exiting Tool run with output:\n""a", say\n"b""\n'
        '[tool/start] [1:chain:AgentExecutor > 4:tool:note] Entering Tool run with input:\n"y"\n'
    )
    assert told(join, *lines(text)) == [
        (
            "agent_start",
            {"name": "AgentExecutor", "gen_ai.agent.name": "AgentExecutor", "input": {}, "run_boundary": "next"},
        ),
        (
            "llm_end",
            {
                "name": "ChatOpenAI",
                "duration_ms": 1200.0,
                "gen_ai.request.model": "gpt",
                "gen_ai.usage.input_tokens": 7,
                "gen_ai.usage.output_tokens": 2,
                "gen_ai.output.messages": [
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "x"}},
                            {"type": "tool_call", "id": "c2", "name": "note", "arguments": {"__arg1": "y"}},
                        ],
                    }
                ],
            },
        ),
        call("search", {"q": "x"}, **{"gen_ai.tool.call.id": "c1"}),
        ("log", {"name": "search", "gen_ai.tool.name": "search", "gen_ai.tool.call.arguments": {"q": "x"}}),
        "printed by the tool\n",
        result('"a", say\n"b"', name="search", duration_ms=3.0, **{"gen_ai.tool.name": "search"}),
        call("note", "y", name="note"),
    ]


def test_every_event_names_its_framework_and_the_first_has_the_text(block):
    text = f"{GREEN} go\nAction: search\nAction Input: x{RESET}"
    events = PARSER.parse(block(text))
    assert [event.raw for event in events] == [text, None]
    assert all(event.properties["framework"] == "langchain" for event in events)


def test_debug_output_behind_verbose_output(join):
    """``set_debug`` may be called while the program runs."""
    head = f"{GREEN}[chain/start]{RESET} \x1b[1m[chain:LLMChain] Entering Chain run with input:\n"
    words = told(join, f"{GREEN}a result{RESET}\n", head, f"{RESET}[inputs]\n")
    assert words == [
        result("a result", call_not_told=True),
        ("chain_start", {"name": "LLMChain", "run_boundary": "next"}),
    ]


def test_an_escape_that_is_no_colour_behind_a_finished_step():
    """Found by the mutated lines of `make bench`."""
    parser = LangChainParser(LangChainParser.Config(type="langchain"))
    for mode in ("ended", "blank", "reply", "before prompt"):
        assert parser.pieces("\x1b[broken\n", (mode, False, "none")) == ()


@pytest.mark.parametrize(
    ("text", "told_"),
    [
        ("<tool>search</tool><tool_input>cut off at the end", call("search", "cut off at the end")),
        ('```json\n{"action": "run", "action_input": "a ```b``` c"}\n```', call("run", "a ```b``` c")),
        ('{"action": "run", "action_input": "two\nlines"}', call("run", "two\nlines")),
        ('[{"action": "run", "action_input": null}, {"action": "walk"}]', call("run", {})),
    ],
)
def test_steps_of_agents_with_a_grammar_of_their_own(join, text, told_):
    assert told(join, *lines(f"{GREEN}{text}{RESET}"))[-1] == told_


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Thought: Do I need to use a tool? No\nAna: Hi.\nAna: Bye.", "Bye."),
        ("AI: You asked.\n\n- of AI: all", "all"),  # as LangChain itself takes it
        ("Generative AI: a survey.", "Generative AI: a survey."),
        ("<final_answer>cut", "cut"),
        ('{"action": "Final Answer", "action_input": {"a": 1}}', '{"a":1}'),
        ('Use {"action": "x"} for that.', 'Use {"action": "x"} for that.'),
    ],
)
def test_answers_of_agents_with_a_grammar_of_their_own(join, text, answer):
    words = told(join, *lines(f"{GREEN}{text}{RESET}\n\n\x1b[1m> Finished chain.{RESET}\n"))
    assert words[-2:] == [
        ("agent_finish", {"message": answer}),
        ("agent_end", {"unnamed": True, "run_boundary": "end"}),
    ]


def test_debug_entries_in_the_middle_of_lines(join):
    """A program prints an agent's tokens as they come, without a newline at their end."""
    start = f"{GREEN}[chain/start]{RESET} \x1b[1m[chain:a] Entering Chain run with input:\n"
    end = f"{BLUE}[chain/end]{RESET} \x1b[1m[chain:a] [1ms] Exiting Chain run with output:\n"
    started = ("chain_start", {"name": "a", "run_boundary": "next"})
    ended = ("chain_end", {"name": "a", "duration_ms": 1.0, "run_boundary": "end"})
    text = f"Let me {start}{RESET}[inputs]\nTwo\ndays.{end}{RESET}[outputs]\n"
    told_ = ["Let me ", started, "Two\n", "days.", ended]
    assert told(join, *lines(text)) == told_
    assert told(join, text) == ["Let me ", started, "Two\ndays.", ended]


def test_a_debug_agent_is_told_by_its_steps(join):
    def entry(path):
        return f"[chain/start] [{path}] Entering Chain run with input:\n[inputs]\n"

    paths = (
        "chain:desk",
        "chain:desk > chain:model",
        "chain:desk > chain:tools",
        "chain:desk > chain:write",
        "chain:model",
    )
    told_ = told(join, *lines("".join(map(entry, paths))))
    assert [said.get("parent_kind") for _, said in told_] == [None, "agent", "agent", None, None]
