"""What the generators for LlamaIndex before 0.14 share: a scripted model, tools, and a callback handler as witness."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tape import Killed, Tape, Truth, main, shown

#: What the framework is about to print, by its beginning; another text belongs to the one before.
SAYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("> Running step ", ("agent_start", "chain_start", "query", "log")),
    ("Added user message to memory: ", ("agent_start", "chain_start", "query", "log")),
    ("=== LLM Response ===", ("llm_end", "agent_thought", "agent_finish")),
    ("=== Calling Function ===", ("tool_call",)),
    ("Calling function: ", ("tool_call",)),
    ("=== Function Output ===", ("tool_result",)),
    ("Got output: ", ("tool_result",)),
    ("========================\n", ("tool_result", "log")),
    ("Running step ", ("log",)),
    ("Step parse_agent_output produced event StopEvent", ("agent_finish", "agent_end", "chain_end", "log")),
    ("Step run_agent_step produced event AgentOutput", ("llm_end", "log")),
    ("Step init_run produced event AgentInput", ("agent_start", "chain_start", "log")),
    ("Step ", ("log",)),
    ("Generated ", ("log", "query", "agent_thought")),
    ("Selecting query engine ", ("log", "agent_action", "agent_thought")),
    ("**********", ("log", "chain_start", "chain_end")),
    ("Trace: ", ("log", "chain_start", "chain_end")),
)
#: Of the debug handler's tree, by the event's kind (its last word, in lower case).
ROWS = {
    "query": ("chain_start", "chain_end", "query", "log"),
    "agent_step": ("chain_end", "agent_end", "log"),
    "llm": ("llm_end",),
    "retrieve": ("retrieval",),
    "function_call": ("tool_call", "tool_result", "chain_end", "log"),
    "exception": ("error",),
}


class Scripted(FunctionCallingLLM):
    """Gives the replies of its script: a text, or text and calls; an exception in it is raised."""

    script: list[Any]
    cursor: int = 0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, model_name="scripted-1")

    def following(self) -> ChatResponse:
        reply = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, Exception):
            raise reply
        text, calls = reply if isinstance(reply, tuple) else (reply, ())
        asked = [
            {"id": f"call_{self.cursor}_{index}", "name": name, "args": given}
            for index, (name, given) in enumerate(calls)
        ]
        more = {"tool_calls": asked} if asked else {}
        return ChatResponse(message=ChatMessage(role="assistant", content=text, additional_kwargs=more))

    @llm_chat_callback()
    def chat(self, messages: Any, **_: Any) -> ChatResponse:
        return self.following()

    @llm_chat_callback()
    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        return self.following()

    def stream_chat(self, messages: Any, **_: Any) -> Any:
        yield self.following()

    async def astream_chat(self, messages: Any, **_: Any) -> Any:
        async def one() -> Any:
            yield self.following()

        return one()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return CompletionResponse(text=self.following().message.content)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return CompletionResponse(text=self.following().message.content)

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        yield CompletionResponse(text=self.following().message.content)

    async def astream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        raise NotImplementedError("no scenario streams completions")

    def _prepare_chat_with_tools(self, tools: Any, **_: Any) -> dict[str, Any]:
        return {"messages": [], "tools": []}

    def get_tool_calls_from_response(self, response: Any, error_on_no_tool_call: bool = True, **_: Any) -> Any:
        asked = response.message.additional_kwargs.get("tool_calls", [])
        return [ToolSelection(tool_id=each["id"], tool_name=each["name"], tool_kwargs=each["args"]) for each in asked]


def say(text: str, *calls: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    return text, calls


def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n\n- five days abroad"


def lookup(order: int) -> dict:
    """Look an order up."""
    return {"order": order, "note": "it's {fragile}", "paid": None}


def weather(city: str, day: str = "today") -> str:
    """The weather somewhere."""
    return f"{city}, {day}: 21.5"


def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach table {table!r}: timed out")


def report(pages: int) -> str:
    """A very long result."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


def one_line(size: int) -> str:
    """A very long line."""
    return "x" * size


def document(name: str) -> str:
    """JSON over several lines."""
    return json.dumps({"name": name, "tags": ["a", "b"], "note": 'say "hi"'}, indent=2, ensure_ascii=False)


def manual(topic: str) -> str:
    """Text that looks like what agents print."""
    return (
        f"How to read logs of {topic}:\nThought: not a thought\nAction: search\nObservation: none\n"
        "=== Function Output: what a tool gave\n> Running a step\nAnswer: see below\n"
    )


def tools(tape: Tape | None = None) -> list[FunctionTool]:
    """All tools; with a tape, also one in which the process is killed."""
    known: list[Callable[..., Any]] = [
        search, lookup, weather, silent, broken, report, one_line, document, manual,
    ]  # fmt: skip
    if tape is not None:

        def endless(pages: int) -> str:
            """Never comes back."""
            tape.cut()
            return ""

        known.append(endless)
    return [FunctionTool.from_defaults(each) for each in known]


class Witness(BaseCallbackHandler):
    """Writes down what the framework's callbacks tell: agents, models, calls of functions, sub-questions."""

    def __init__(self, truth: Truth) -> None:
        super().__init__([], [])
        self.truth = truth
        self.runs: list[int] = []
        self.open: dict[str, Any] = {}

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None: ...

    @property
    def within(self) -> int | None:
        return self.runs[-1] if self.runs else None

    def on_event_start(self, event_type: Any, payload: Any = None, event_id: str = "", **_: Any) -> str:
        told = payload or {}
        if event_type == CBEventType.AGENT_STEP:
            self.runs.append(self.truth.run("agent", "AgentRunner", self.within))
        elif event_type == CBEventType.LLM:
            self.truth.model(told[EventPayload.SERIALIZED].get("model", "scripted-1"), None, self.within)
        elif event_type == CBEventType.FUNCTION_CALL:
            tool = told.get(EventPayload.TOOL)
            given = told[EventPayload.FUNCTION_CALL]
            self.open[event_id] = self.truth.call(tool.name if tool else None, self.read(given), None, self.within)
        elif event_type == CBEventType.SUB_QUESTION:
            asked = told[EventPayload.SUB_QUESTION].sub_q
            self.open[event_id] = self.truth.call(asked.tool_name, asked.sub_question, None, self.within)
        return event_id

    def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **_: Any) -> None:
        told = payload or {}
        if event_type == CBEventType.AGENT_STEP and not self.truth.tape.is_cut:
            self.truth.ended(self.runs.pop())
        elif event_type == CBEventType.FUNCTION_CALL and EventPayload.FUNCTION_OUTPUT in told:
            self.open[event_id]["result"] = told[EventPayload.FUNCTION_OUTPUT]
        elif event_type == CBEventType.SUB_QUESTION and EventPayload.SUB_QUESTION in told:
            self.open[event_id]["result"] = told[EventPayload.SUB_QUESTION].answer

    @staticmethod
    def read(given: Any) -> Any:
        """Arguments as a value; those that are no JSON stay text."""
        try:
            return json.loads(given) if isinstance(given, str) else given
        except ValueError:
            return given


@contextmanager
def observed(tape: Tape, truth: Truth, *more: BaseCallbackHandler) -> Iterator[None]:
    """Callbacks go to a witness (and to ``more``), prints get their labels; a failure is printed as a handler might."""
    Settings.callback_manager = CallbackManager([Witness(truth), *more])
    plain = tape.write
    printing = False

    def label(text: str) -> tuple[str, ...] | None:
        if text.lstrip(" ").startswith("|_"):
            kind = text.partition(" -> ")[0].replace(".", "_").lower().removeprefix("|_")
            return next((types for word, types in ROWS.items() if kind.endswith(word)), ("log", "chain_end"))
        if text.startswith("\x1b["):
            said = text.partition("m")[2]
            if said.startswith("Thought: "):
                done = "\nAnswer: " in said and "\nAction: " not in said
                return ("agent_finish", "agent_thought") if done else ("agent_thought", "agent_action", "tool_call")
            if said.startswith("Observation: Error: Could not parse output"):
                return ("tool_result", "error", "log")
            if said.startswith("Observation: "):
                return ("tool_result",)
            if said.startswith("["):
                return ("tool_call", "query") if "] Q: " in said else ("tool_result",)
            text = said
        return next((types for start, types in SAYS if text.startswith(start)), None)

    def write(text: str) -> int:
        if not printing:
            tape.label = label(text) or tape.label
            body = text.removesuffix("\x1b[0m")
            if body != text:
                plain(body)
                before, tape.label = tape.label, ()
                plain("\x1b[0m")
                tape.label = before
                return len(text)
        return plain(text)

    tape.write = write  # type: ignore[method-assign]
    try:
        yield
    except Killed:
        raise
    except Exception as problem:
        if tape.is_cut:
            raise Killed from None
        truth.failed = True
        printing = True
        with tape.labelled("error"):
            traceback.print_exception(problem)
        printing = False
    finally:
        # A reply that could not be read is told as a call too, of no tool.
        truth.calls[:] = [call for call in truth.calls if call["name"] not in {None, "unknown"}]
        del tape.write
        tape.label = ("log",)


def asked(truth: Truth, agent: Any, *questions: str) -> None:
    """Put questions to an agent; its sources name the tools that the callbacks do not know."""
    for question in questions:
        before = len(truth.calls)
        reply = agent.chat(question)
        truth.answer = str(reply)
        unnamed = [call for call in truth.calls[before:] if call["name"] is None]
        sources = [source for source in reply.sources if source.is_error]
        for call in unnamed:
            source = next(source for source in sources if str(source) == call["result"])
            call["name"] = source.tool_name


def record(scenarios: Any, packages: Sequence[str]) -> None:
    """The command line of a generator."""

    def printed_call(text: str, call: dict[str, Any]) -> dict[str, str]:
        if "Calling function: " not in text and "Action: " not in text and "] Q: " not in text:
            return {"name": "absent", "arguments": "absent", "result": "absent"}
        result = "absent" if call["result"] is None else "full" if call["result"] == "" else shown(text, call["result"])
        return {"arguments": shown(text, call["arguments"]), "result": result}

    main(
        "llamaindex",
        scenarios,
        packages,
        printed_call=printed_call,
        printed_run=lambda text, run: False,
        printed_model=lambda text, model: {
            "call": "|_CBEventType.LLM " in text or "produced event AgentOutput" in text,
            "tokens": False,
            "model": False,
        },
    )
