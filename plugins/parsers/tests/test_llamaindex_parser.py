"""The llamaindex parser on what versions before 0.14 print, and on the debug handler's tree."""

from __future__ import annotations

import pytest

from vectadb_agent_parsers import FramedParser, LangChainParser, LlamaIndexParser, PythonLoggingParser

STEP = "> Running step 11bbb6df-8e19-4dbb-9038-1ee94fb6909e. Step input: "
PINK, BLUE, RESET = "\x1b[1;3;38;5;200m", "\x1b[1;3;34m", "\x1b[0m"
CALLING, OUTPUT, RESPONSE = "=== Calling Function ===\n", "=== Function Output ===\n", "=== LLM Response ===\n"
STARS, END = "**********\n", "========================\n"


def llamaindex():
    return LlamaIndexParser(LlamaIndexParser.Config(type="llamaindex"))


@pytest.fixture
def told(join):
    """Type and properties of each event of these lines; a block that is not LlamaIndex's is its text.

    What the events are to their run is told in ``test_run_boundaries.py``.
    """

    def made(text, *others):
        parser = llamaindex()
        found = []
        for each in join([parser, *others], *text.splitlines(keepends=True)):
            events = parser.parse(each.block) if each.owner in (None, 0) else None
            if events is None:
                found.append(each.block.text)
            for event in events or ():
                properties = {key.rpartition(".")[2]: value for key, value in event.properties.items()}
                assert properties.pop("framework") == "llamaindex"
                properties.pop("run_boundary", None)
                found.append((event.event_type, properties))
        return found

    return made


def test_a_step_with_an_input_starts_a_run_and_one_without_goes_on(told):
    runner = {"name": "AgentRunner", "input": "How\nlong?"}
    assert told(f"{STEP}How\nlong?\n{STEP}None\n") == [
        ("agent_start", runner),
        ("query", {"message": "How\nlong?"}),
        ("log", {"message": "next step"}),
    ]


def test_a_question_printed_again_belongs_to_its_step_and_no_line_more(told):
    text = f"{STEP}How\nlong?\nAdded user message to memory: How\nlong?\nnobody's\n"
    assert [each[0] for each in told(text)[:2]] == ["agent_start", "query"]
    assert told(text)[2:] == ["nobody's\n"]


def test_a_question_without_a_step_is_one_line(told):
    text = "Added user message to memory: How long?\nTwo days.\n"
    assert told(text) == [("query", {"message": "How long?"}), "Two days.\n"]


def test_a_reply_before_a_call_is_a_thought(told):
    text = f'{RESPONSE}I look.\n\nNow.\n{CALLING}Calling function: search with args: {{"q": "a: {{b}}"}}\n'
    assert told(text) == [
        ("agent_thought", {"message": "I look.\n\nNow."}),
        ("tool_call", {"name": "search", "arguments": {"q": "a: {b}"}}),
    ]


def test_a_reply_before_another_step_is_a_thought(told):
    text = f"{RESPONSE}I look.\n{STEP}None\n"
    assert told(text) == [("agent_thought", {"message": "I look."}), ("log", {"message": "next step"})]


@pytest.mark.parametrize("answer", ["Two days.", "Two\n\ndays."])
def test_a_reply_before_anything_else_is_the_answer(told, answer):
    ended = [("agent_finish", {"message": answer}), ("agent_end", {"name": "AgentRunner"})]
    assert told(f"{RESPONSE}{answer}\n") == ended
    assert told(f"{RESPONSE}{answer}\n{answer}\n") == ended  # print(agent.chat(question))
    assert told(f"{RESPONSE}{answer}\n{STEP}More?\n")[:2] == ended


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("a\n\nb\n", "a\n\nb"),
        ("\n", ""),
        ("{'order': 7, 'note': \"it's {x}\"}\n", {"order": 7, "note": "it's {x}"}),
        ('{\n  "a": 1\n}\n', '{\n  "a": 1\n}'),
    ],
)
def test_results_of_every_form(told, printed, value):
    assert told(f"{OUTPUT}{printed}{STEP}None\n")[0] == ("tool_result", {"result": value})
    assert told(f"Got output: {printed}{END}\n") == [("tool_result", {"result": value}), "\n"]
    coloured = f"{BLUE}Observation: {printed}{RESET}"
    assert told(coloured) == [("tool_result", {"result": value})]


@pytest.mark.parametrize("failure", ["Encountered error: no table", "Error: No such tool named `x`."])
def test_results_of_tools_that_failed_are_marked(told, failure):
    marked = ("tool_result", {"result": failure, "type": "ToolError"})
    assert told(f"{OUTPUT}{failure}\n{STEP}None\n")[0] == marked
    assert told(f"{BLUE}Observation: {failure}\n{RESET}") == [marked]


def test_a_tool_that_does_not_exist(told):
    text = "Tool with name browser not found, please double check."
    found = [("tool_result", {"name": "browser", "result": text, "type": "InvalidTool"})]
    assert told(f"{text}\n{END}") == told(f"{text}\n") == found


def test_arguments_that_are_no_json_stay_text_and_their_message_is_the_result(told):
    problem = 'Error in calling tool search: The input json block is malformed:\n```json\n{"query": \n```'
    text = f'{CALLING}Calling function: search with args: {{"query": \n{problem}\n{END}'
    assert told(text) == [
        ("tool_call", {"name": "search", "arguments": '{"query": '}),
        ("tool_result", {"name": "search", "result": problem, "type": "ToolError"}),
    ]


def test_arguments_over_several_lines(told):
    text = f'{CALLING}Calling function: search with args: {{\n  "a": 1\n}}\nGot output: b\n{END}'
    assert told(text) == [("tool_call", {"name": "search", "arguments": {"a": 1}}), ("tool_result", {"result": "b"})]


def test_a_react_step_is_a_thought_and_a_call(told):
    text = f"{PINK}Thought: I need\nAction: a plan\nAction: search\nAction Input: {{'q': 'Action: \\n\"x\"'}}\n{RESET}"
    assert told(text) == [
        ("agent_thought", {"message": "I need\nAction: a plan"}),
        ("tool_call", {"name": "search", "arguments": {"q": 'Action: \n"x"'}}),
    ]


def test_a_react_answer_ends_the_run(told):
    ended = ("agent_end", {"name": "AgentRunner"})
    text = f"{PINK}Thought: Done.\nAnswer: Two\nAction: none\nAnswer: days.\n{RESET}"
    answer = ("agent_finish", {"message": "Two\nAction: none\nAnswer: days."})
    assert told(text) == [("agent_thought", {"message": "Done."}), answer, ended]
    streamed = told(f"{PINK}Thought: Done.\nAnswer (Starts With): Two ...\n{RESET}")
    assert streamed[1:] == [("agent_finish", {"message": "Two", "truncated": True}), ended]


def test_a_reply_that_could_not_be_read_is_no_result(told):
    text = f"{BLUE}Observation: Error: Could not parse output. Please follow the thought-action-input format.\n{RESET}"
    assert [each[0] for each in told(text)] == ["log"]


def test_marks_inside_a_coloured_text_are_its_own(told):
    inside = f"a\nThought: b\n{OUTPUT}{STEP}None\nAnswer: c\nTraceback (most recent call last):\n{STARS}"
    text = f"{BLUE}Observation: {inside}{RESET}{STEP}None\n"
    assert told(text) == [("tool_result", {"result": inside[:-1]}), ("log", {"message": "next step"})]


def test_what_follows_the_reset_on_its_line_goes_to_its_own_parser(told):
    text = f"{PINK}Thought: T\nAction: a\nAction Input: {{}}\n{RESET}Traceback (most recent call last):\nKeyError: 1\n"
    assert told(text, PythonLoggingParser(PythonLoggingParser.Config(type="python_logging")))[1:] == [
        ("tool_call", {"name": "a", "arguments": {}}),
        "Traceback (most recent call last):\nKeyError: 1\n",
    ]


def test_sub_questions_are_calls_of_engines(told):
    text = (
        f"Generated 1 sub questions.\n{PINK}[a b] Q: Why [c] A: x?\n{RESET}{PINK}[a b] A: So:\n[a b] Q: y\n{RESET}"
        f"{PINK}Selecting query engine 1: it fits.\n{RESET}"
    )
    assert told(text) == [
        ("log", {"message": "Generated 1 sub questions."}),
        ("tool_call", {"name": "a b", "arguments": "Why [c] A: x?"}),
        ("tool_result", {"name": "a b", "result": "So:\n[a b] Q: y"}),
        ("log", {"message": "Selecting query engine 1: it fits."}),
    ]


def test_steps_of_a_workflow(told):
    text = "Running step call_tool\nStep call_tool produced no event\nStep mine produced event Mine\n"
    assert [each[0] for each in told(text)] == ["log"] * 3
    text = (
        "Step init_run produced event AgentInput\nStep run_agent_step produced event AgentOutput\n"
        "Step parse_agent_output produced event StopEvent\n"
    )
    assert [each[0] for each in told(text)] == ["agent_start", "llm_end", "agent_end"]


@pytest.mark.parametrize("name", ["{}", "CBEventType.{}"])
def test_a_tree_has_runs_that_nest_and_take_time(told, name):
    def row(depth, kind, seconds):
        return f"{'  ' * depth}|_{name.format(kind if name == '{}' else kind.upper())} -> {seconds} seconds\n"

    text = (
        f"{STARS}Trace: query\n{row(2, 'query', 1.2)}{row(3, 'retrieve', 0.5)}{row(4, 'embedding', 5e-05)}"
        f"{row(3, 'synthesize', 0.6)}{row(4, 'llm', 0.25)}{row(4, 'exception', 0.0)}{STARS}"
    )
    assert told(text) == [
        ("chain_start", {"name": "query"}),
        ("chain_start", {"name": "query"}),
        ("retrieval", {"name": "retrieve", "duration_ms": 500.0}),
        ("log", {"message": "embedding", "duration_ms": 0.05}),
        ("chain_start", {"name": "synthesize"}),
        ("llm_end", {"duration_ms": 250.0}),
        ("error", {"message": "an exception ended the trace", "level": "ERROR"}),
        ("chain_end", {"name": "synthesize", "duration_ms": 600.0}),
        ("chain_end", {"name": "query", "duration_ms": 1200.0}),
        ("chain_end", {"name": "query"}),
    ]


def test_a_tree_behind_an_answer_is_no_part_of_it(told):
    text = f"{RESPONSE}Two days.\n{STARS}Trace: chat\n    |_agent_step -> 0.1 seconds\n{STARS}"
    assert [each[0] for each in told(text)] == [
        "agent_finish",
        "agent_end",
        "chain_start",
        *["chain_start", "chain_end"],
        "chain_end",
    ]


def test_a_row_in_a_loggers_frame(block):
    framed = FramedParser(FramedParser.Config(type="framed"))
    made = framed.parse(block("DEBUG:app:      |_CBEventType.LLM -> 0.5 seconds\n"))
    assert [(event.event_type, event.properties["duration_ms"]) for event in made] == [("llm_end", 500.0)]


@pytest.mark.parametrize(
    "text",
    [
        "**********\n**********\n",
        "Trace: query\n",
        "  |_ not a row -> 1 seconds\n",
        "    |_query -> soon seconds\n",
        "Running step build\n",
        "Step 3 of 5\n",
        "Thought: a\nAction: b\nAction Input: c\n",
        "\x1b[1;3;34mblue\n\x1b[0m",
        "=== Results ===\n",
        "> Running step one\n",
        "Tool with name hammer\n",
    ],
)
def test_ordinary_lines_are_left_alone(told, text):
    assert all(type(each) is str for each in told(text))
    assert "".join(told(text)) == text


def test_a_record_of_many_lines_is_cut_as_its_lines_are(join):
    lines = [f"{PINK}Thought: a\n", "Action: b\n", "Action Input: {}\n", f"{RESET}printed\n", f"{BLUE}Observation: c\n"]
    whole = "".join([*lines, f"{RESET}{STEP}None\n"])
    parser = llamaindex()
    blocks = [each.block.text for each in join([parser], whole)]
    assert "".join(blocks) == whole
    types = [[event.event_type for event in parser.parse(each.block) or ()] for each in join([parser], whole)]
    assert types == [["agent_thought", "tool_call"], [], ["tool_result"], ["log"]]


def test_langchains_uncoloured_steps_stay_its_own(join):
    langchain = LangChainParser(LangChainParser.Config(type="langchain"))
    joined = join([llamaindex(), langchain], "Thought: a\n", "Action: b\n", "Action Input: c\n")
    assert [each.owner for each in joined] == [1]
