"""The half held out: agents of LangChain classic. Written by somebody who had not seen the parsers; do not tune on it."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import json
import sys
from typing import Any, cast

from agents import CALCULATOR, CALLING, SEARCH, calling, get_weather, now, react, text_tool
from langchain_classic.agents import (
    AgentExecutor,
    AgentType,
    create_json_chat_agent,
    create_tool_calling_agent,
    create_xml_agent,
    initialize_agent,
)
from langchain_classic.memory import ConversationBufferMemory
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from pydantic import BaseModel, Field
from scenario import Half
from scripted import ScriptedChat, StreamingChat, act, answer, say
from tape import Tape

HALF = Half()
scenario = HALF.scenario

CLOUDWATCH = """2026-03-02T10:15:04.120Z START RequestId: 6f0e6a3b-52a1-4d6a-9f0e-3c1d2b4a5e6f Version: $LATEST
2026-03-02T10:15:04.377Z [ERROR] KeyError: 'customer'
Traceback (most recent call last):
  File "/var/task/checkout.py", line 41, in handler
    name = event["customer"]["name"]
KeyError: 'customer'
2026-03-02T10:15:04.380Z END RequestId: 6f0e6a3b-52a1-4d6a-9f0e-3c1d2b4a5e6f
REPORT RequestId: 6f0e6a3b-52a1-4d6a-9f0e-3c1d2b4a5e6f\tDuration: 259.80 ms\tBilled Duration: 260 ms\tMemory Size: 256 MB\tMax Memory Used: 91 MB
{"level":"INFO","message":"retry {1}","requestId":"6f0e6a3b-52a1-4d6a-9f0e-3c1d2b4a5e6f"}
[WARNING]\t2026-03-02T10:15:05.001Z\t\tpool is full: {'size': 10}"""
SCRIPT = '''import json

# Action: none of your business
rows = [{"sku": "A-7", "n": 3}, {"sku": "B-1", "n": 0}]
print(f"""Answer: {json.dumps(rows)}
Observation: {len(rows)} rows""")'''


@scenario()
def logs_agent(verbose: bool, config: RunnableConfig) -> None:
    """ReAct agent on call: tools return CloudWatch log lines, a filter pattern is the input"""
    tools: list[BaseTool] = [
        text_tool("filter_log_events", lambda _: CLOUDWATCH),
        text_tool("describe_alarms", lambda _: json.dumps([{"AlarmName": "checkout-5xx", "StateValue": "ALARM"}])),
    ]
    script = [
        act("Which alarm fires?", "describe_alarms", "StateValue=ALARM"),
        act(
            "Let me read the log.\n\n1. errors\n2. reports",
            "filter_log_events",
            '{ ($.level = "ERROR") || ($.statusCode >= 500) } --log-group /aws/lambda/checkout:prod',
        ),
        answer("The handler reads event['customer'], which is missing since 10:15.\n\nFix: event.get('customer')"),
    ]
    react(script, tools, verbose).invoke({"input": "Why does checkout fail? [prod]"}, config)


@scenario()
def python_agent(verbose: bool, config: RunnableConfig) -> None:
    """ReAct agent that writes code: inputs of several lines with comments, braces and fences; a traceback as a result"""

    def run(code: str) -> str:
        if "open(" in code:
            return "FileNotFoundError(2, 'No such file or directory')"
        return 'Final Answer: [{"sku": "A-7", "n": 3}, {"sku": "B-1", "n": 0}]\nObservation: 2 rows\n'

    script = [
        act("I write a script.", "Python_REPL", SCRIPT),
        act(
            "And read the file.", "Python_REPL", '```python\nwith open("/tmp/a b.csv") as f:\n    print(f.read())\n```'
        ),
        answer("There are two rows; `B-1` has none left."),
    ]
    react(script, [text_tool("Python_REPL", run)], verbose).invoke({"input": "How many rows?"}, config)


class Priority(enum.StrEnum):
    """How urgent a ticket is."""

    LOW = "low"
    HIGH = "high"


class Contact(BaseModel):
    """Whom to call."""

    name: str
    phones: list[str] = Field(default_factory=list)


class Ticket(BaseModel):
    """A ticket with everything in it."""

    title: str
    body: str
    priority: Priority
    contact: Contact
    labels: dict[str, list[int]]
    budget: float
    estimate: int
    urgent: bool
    parent: str | None = None
    note: str = ""


@scenario()
def pydantic_arguments(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent: ten arguments, nested models, an enum, floats, nulls; results that are models, dates, decimals"""

    def create(**fields: Any) -> Any:
        return Ticket.model_validate(fields)

    def lookup(ticket_id: str, at: str) -> Any:
        return {"id": ticket_id, "due": datetime.date(2026, 2, 3), "cost": decimal.Decimal("3.20"), "at": at}

    tools: list[BaseTool] = [
        StructuredTool.from_function(create, name="create_ticket", description="Create.", args_schema=Ticket),
        StructuredTool.from_function(lookup, name="mcp__tracker__get-ticket", description="Look up."),
    ]
    fields = {
        "title": "Drucker „Etage 3“ geht nicht: Error 0x3F {code}",
        "body": "Schritte:\n\t1. einschalten\n\t2. `print` drücken\nErgebnis: 'nichts'",
        "priority": "high",
        "contact": {"name": "Zoë O'Hara", "phones": ["+49 30 1", "+1 (555) 010-9999"]},
        "labels": {"floor": [3, 30], "": []},
        "budget": 1e-07,
        "estimate": 9007199254740993,
        "urgent": True,
        "parent": None,
        "note": "",
    }
    script = [
        say("", ("create_ticket", fields)),
        say(
            "",
            (
                "mcp__tracker__get-ticket",
                {"ticket_id": "c0ffee00-0000-4000-8000-00000000cafe", "at": "2026-02-01T00:00Z"},
            ),
        ),
        say("Ticket created; due on 3 February."),
    ]
    calling(script, tools, verbose).invoke({"input": "The printer is broken."}, config)


@scenario()
def odd_results(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent: results None, 0, False, [], {}, a float, bytes, a tuple list, one space, a lone quote"""
    values: list[Any] = [None, 0, False, [], {}, 0.1, b"\x00raw", [(1, "O'Brien", decimal.Decimal("3.20"))], " ", '"']
    tools: list[BaseTool] = [
        StructuredTool.from_function(lambda value=value: value, name=f"probe_{number}", description="Probe.")
        for number, value in enumerate(values)
    ]
    script = [say("", (f"probe_{number}", {})) for number in range(len(values))]
    calling([*script, say("Nothing much.")], tools, verbose, return_intermediate_steps=True).invoke(
        {"input": "Probe all."}, config
    )


@scenario()
def failing_tools(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent: a tool fails twice and then works; failures become results by a function, a text, validation"""
    tries = iter([ToolException("503 Service Unavailable\nRetry-After: 2"), ToolException("timed out: {after: 30s}")])

    def flaky(url: str) -> str:
        error = next(tries, None)
        if error is not None:
            raise error
        return "<html>\n<body>Action: <b>none</b></body>\n</html>"

    def delete(path: str) -> str:
        raise ToolException(f"{path}: permission denied")

    tools: list[BaseTool] = [
        StructuredTool.from_function(
            flaky,
            name="http_get",
            description="Get.",
            handle_tool_error=lambda error: f"Error: {error}\nPlease try again.",
        ),
        StructuredTool.from_function(
            delete, name="delete_file", description="Delete.", handle_tool_error="Not allowed."
        ),
    ]
    url = "https://example.org/a?q=1&b={x}#frag:ment"
    script = [
        say("Fetching.", ("http_get", {"url": url})),
        say("Once more.", ("http_get", {"url": url})),
        say("And again: third time lucky.", ("http_get", {"url": url}), ("delete_file", {"path": "/etc/passwd"})),
        say("The page is empty and I may not delete it."),
    ]
    calling(script, tools, verbose).invoke({"input": "Get the page."}, config)


@scenario()
def conversational(verbose: bool, config: RunnableConfig) -> None:
    """Conversational ReAct agent with memory: three turns, two of them without a tool; answers follow `AI:`"""
    model = ScriptedChat(
        script=[
            say("Thought: Do I need to use a tool? No\nAI: Hi Ana! How can I help?"),
            say("Thought: Do I need to use a tool? Yes\nAction: search\nAction Input: express shipping to Córdoba"),
            say("Thought: Do I need to use a tool? No\nAI: Express takes 1 day, Ana.\nStandard takes two."),
            say("Thought: Do I need to use a tool? No\nAI: You are Ana."),
        ]
    )
    memory = ConversationBufferMemory(memory_key="chat_history")
    agent = initialize_agent(
        [SEARCH], model, AgentType.CONVERSATIONAL_REACT_DESCRIPTION, verbose=verbose, memory=memory
    )
    for text in ("Hi, I am Ana.", "How fast is express?", "Who am I?"):
        agent.invoke({"input": text}, config)


@scenario()
def chat_conversational(verbose: bool, config: RunnableConfig) -> None:
    """Chat conversational agent with memory: action and answer as JSON in a fence, Hebrew and emoji in them"""

    def blob(action: str, value: str) -> str:
        return f"```json\n{json.dumps({'action': action, 'action_input': value}, ensure_ascii=False, indent=4)}\n```"

    model = ScriptedChat(
        script=[
            say(blob("search", 'זמני משלוח: "מהיר" 🚚')),
            say(blob("calculator", "20 + 22")),
            say(blob("Final Answer", "יומיים.\n👩‍👩‍👧 42")),
        ]
    )
    memory = ConversationBufferMemory(memory_key="chat_history", return_messages=True)
    agent = initialize_agent(
        [SEARCH, CALCULATOR],
        model,
        AgentType.CHAT_CONVERSATIONAL_REACT_DESCRIPTION,
        verbose=verbose,
        memory=memory,
    )
    agent.invoke({"input": "כמה זמן?"}, config)


@scenario()
def self_ask(verbose: bool, config: RunnableConfig) -> None:
    """Self-ask with search: `Follow up:`, `Intermediate answer:`, `So the final answer is:`"""
    known = {"Who wrote Nadja?": "André Breton", "When was André Breton born?": "19 February 1896"}
    asked = Tool(name="Intermediate Answer", func=lambda text: known[text.strip()], description="Search.")
    model = ScriptedChat(
        script=[
            say("Yes.\nFollow up: Who wrote Nadja?"),
            say("Follow up: When was André Breton born?"),
            say("So the final answer is: 1896"),
        ]
    )
    agent = initialize_agent([asked], model, AgentType.SELF_ASK_WITH_SEARCH, verbose=verbose)
    agent.invoke({"input": "When was the author of Nadja born?"}, config)


@scenario()
def xml_agent(verbose: bool, config: RunnableConfig) -> None:
    """XML agent: `<tool>`, `<tool_input>`, `<final_answer>`; a result of XML"""
    prompt = PromptTemplate.from_template("Tools: {tools}\n\nQuestion: {input}\n{agent_scratchpad}")
    tools: list[BaseTool] = [text_tool("sql_db_query", lambda _: "<rows><row id='1'>Æ &amp; Ø</row></rows>"), SEARCH]
    model = ScriptedChat(
        script=[
            say(
                "<tool>sql_db_query</tool><tool_input>SELECT name\nFROM users WHERE id < 2 AND name <> 'x'</tool_input>"
            ),
            say("Nearly there.\n<tool>search</tool><tool_input>who is Æ & Ø?</tool_input>"),
            say("<final_answer>Æ & Ø ships within 2 days.</final_answer>"),
        ]
    )
    agent = create_xml_agent(model, tools, prompt, stop_sequence=False)
    AgentExecutor(agent=agent, tools=tools, verbose=verbose).invoke({"input": "Who is user 1?"}, config)


@scenario()
def json_chat(verbose: bool, config: RunnableConfig) -> None:
    """JSON chat agent: bare JSON and fenced JSON, an input that is an object, one reply that is no JSON"""
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Tools: {tools} ({tool_names})"),
            ("human", "{input}"),
            ("placeholder", "{agent_scratchpad}"),
        ]
    )
    script = [
        say('{"action": "get_weather", "action_input": {"city": "Reykjavík"}}'),
        say("I think I should look further, but forgot the braces."),
        say('```json\n{"action": "now", "action_input": {}}\n```'),
        say('```\n{"action": "Final Answer", "action_input": "21.5 °C at midnight: {fine}"}\n```'),
    ]
    agent = create_json_chat_agent(ScriptedChat(script=script), [get_weather, now], prompt)
    AgentExecutor(
        agent=agent, tools=[get_weather, now], verbose=verbose, handle_parsing_errors="Reply in JSON!"
    ).invoke({"input": "Weather?"}, config)


@scenario()
def prints_of_its_own(verbose: bool, config: RunnableConfig) -> None:
    """ReAct agent whose tools print while they run: lines, a progress bar, JSON, an empty line; one of them to the end"""

    def query(text: str) -> str:
        print(f"querying: {text}")
        print(json.dumps({"level": "INFO", "message": "rows: 2", "ms": 12.5}))
        print()
        return "2 rows"

    def download(text: str) -> str:
        for done in (0, 50, 100):
            print(f"\r{done:3d} % of {text}", end="", flush=True)
        print()
        print("Action: clean up")
        return f"saved {text}"

    script = [
        act("Query first.", "query", "SELECT 1"),
        act("Then download.", "download", "a.csv"),
        answer("Saved two rows."),
    ]
    print("handler: starting")
    told = react(script, [text_tool("query", query), text_tool("download", download)], verbose).invoke(
        {"input": "Export."}, config
    )
    print(told["output"])
    print("handler: done")


@scenario("verbose")
def early_stopping(verbose: bool, config: RunnableConfig) -> None:
    """initialize_agent stopped after two rounds, early_stopping_method=generate: the model is asked for an answer, unseen by callbacks"""
    model = ScriptedChat(
        script=[act("Look.", "search", "one"), act("Look on.", "search", "two"), answer("Two days, as far as I know.")]
    )
    agent = initialize_agent(
        [SEARCH],
        model,
        AgentType.ZERO_SHOT_REACT_DESCRIPTION,
        verbose=verbose,
        max_iterations=2,
        early_stopping_method="generate",
    )
    agent.invoke({"input": "How long?"}, config)


@scenario(raises=(KeyboardInterrupt,))
def interrupted(verbose: bool, config: RunnableConfig) -> None:
    """The second tool is interrupted (KeyboardInterrupt), the traceback follows"""

    def slow(text: str) -> str:
        raise KeyboardInterrupt

    script = [act("Search.", "search", "orders"), act("Now the slow one.", "reindex", "all, please")]
    react(script, [SEARCH, text_tool("reindex", slow)], verbose).invoke({"input": "Reindex."}, config)


@scenario(killed=True)
def killed_nested(verbose: bool, config: RunnableConfig) -> None:
    """Killed (a Lambda's time is up) in the tool of a nested agent; a run before it was well"""

    def hang(text: str) -> str:
        print(f"waiting for {text}")
        cast(Tape, sys.stdout).cut()
        return ""

    def ask(text: str) -> str:
        script = [act("Look.", "search", text), act("Wait for the export.", "export", f"{text} as CSV")]
        inner = react(script, [SEARCH, text_tool("export", hang)], verbose, label="b")
        return str(inner.invoke({"input": text})["output"])

    calling([say("", ("now", {})), say("Midnight.")], [now], verbose, label="c").invoke({"input": "Time?"}, config)
    delegate = StructuredTool.from_function(ask, name="analyst", description="Ask the analyst.")
    script = [say("One moment.", ("now", {})), say("I ask the analyst.", ("analyst", {"text": "orders of 2026"}))]
    calling(script, [now, delegate], verbose).invoke({"input": "Export the orders."}, config)


@scenario(raises=(TimeoutError,))
def timed_out(verbose: bool, config: RunnableConfig) -> None:
    """ainvoke under asyncio.timeout: cancelled while two of three parallel calls still run"""

    async def fetch(shard: int) -> str:
        await asyncio.sleep(0 if shard == 1 else 30)
        return f"shard {shard}: ok"

    async def run() -> None:
        fetcher = StructuredTool.from_function(coroutine=fetch, name="fetch", description="Fetch.")
        script = [say("All three.", *(("fetch", {"shard": shard}) for shard in (1, 2, 3)))]
        async with asyncio.timeout(0.5):
            await calling(script, [fetcher], verbose).ainvoke({"input": "Fetch."}, config)

    asyncio.run(run())


@scenario()
def streamed_nested_async(verbose: bool, config: RunnableConfig) -> None:
    """astream: a streaming agent whose async tool is another streaming agent, two levels down a third"""

    def agent(label: str, script: list[Any], tools: list[BaseTool]) -> AgentExecutor:
        model = StreamingChat(script=script, label=label)
        return AgentExecutor(agent=create_tool_calling_agent(model, tools, CALLING), tools=tools, verbose=verbose)

    async def weigh(sku: str) -> str:
        tools: list[BaseTool] = [get_weather]
        inner = agent("c", [say("", ("get_weather", {"city": f"depot {sku}"})), say("It is 21.5 there.")], tools)
        return str((await inner.ainvoke({"input": sku}))["output"])

    async def plan(goal: str) -> str:
        depot = StructuredTool.from_function(coroutine=weigh, name="depot", description="Ask the depot.")
        inner = agent("b", [say("Ask them.", ("depot", {"sku": "A-7"})), say("Ship it at noon.")], [depot])
        return str((await inner.ainvoke({"input": goal}))["output"])

    async def run() -> None:
        planner = StructuredTool.from_function(coroutine=plan, name="planner", description="Plan.")
        tools: list[BaseTool] = [planner, now]
        script = [say("I'll plan.", ("planner", {"goal": "ship A-7"}), ("now", {})), say("At noon, then.")]
        async for _ in agent("a", script, tools).astream({"input": "When do we ship A-7?"}, config):
            pass

    asyncio.run(run())


@scenario()
def very_long_everything(verbose: bool, config: RunnableConfig) -> None:
    """Very long input, pretty JSON result and answer: 15 KB each (debug: 2 KB)"""
    size = 240 if verbose else 40
    text = "\n".join(f"{n:04d}: »Zeile« {{{n}}} \\ 'q' — {'ab ' * (n % 7)}" for n in range(size))
    rows = json.dumps([{"n": n, "note": f"a: b {n}\n"} for n in range(size)], indent=2)

    @tool
    def summarise(document: str, words: int = 100) -> str:
        """Summarise."""
        return rows

    script = [say("", ("summarise", {"document": text, "words": 7})), say(text[::-1])]
    calling(script, [summarise], verbose).invoke({"input": "Summarise it."}, config)
