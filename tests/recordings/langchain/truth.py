"""The truth beside a recording: LangChain's own callbacks, in order."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, ToolMessage

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.agents import AgentAction, AgentFinish
    from langchain_core.outputs import LLMResult
    from tape import Tape

NAMED_CHAINS = frozenset({"AgentExecutor", "LLMChain", "SequentialChain"})


class Truth(BaseCallbackHandler):
    """Writes down every callback in order; run ids become counters (``r1``, ``r2``, ...)."""

    run_inline = True
    raise_error = True

    def __init__(self, printed: Tape) -> None:
        """Start with nothing seen; once ``printed`` is cut there is nobody to be called back."""
        self.printed = printed
        self.callbacks: list[dict[str, Any]] = []
        self._runs: dict[UUID, str] = {}
        self._names: dict[UUID, str] = {}

    def _note(self, event: str, run_id: UUID, parent_run_id: UUID | None, **more: Any) -> None:
        if self.printed.is_cut:
            return
        run = self._runs.setdefault(run_id, f"r{len(self._runs) + 1}")
        parent = self._runs.get(parent_run_id) if parent_run_id else None
        self.callbacks.append({"event": event, "run_id": run, "parent_run_id": parent, **more})

    def _name(self, run_id: UUID, serialized: dict[str, Any] | None, name: str | None) -> str:
        known = serialized or {}
        found = name or known.get("name") or (known.get("id") or ["<unknown>"])[-1]
        return self._names.setdefault(run_id, found)

    def _named(self, run_id: UUID, values: Any) -> dict[str, Any]:
        """Inputs or outputs, of the chains that a user names; the inner ones repeat them."""
        return plain(values) if self._names.get(run_id) in NAMED_CHAINS else {}

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a chain's start; a streamed AgentExecutor is printed as `None` in verbose form."""
        name = self._name(run_id, serialized, kwargs.get("name"))
        more = {"printed_name": "None"} if "name" in kwargs and kwargs["name"] is None else {}
        self._note("chain_start", run_id, parent_run_id, name=name, inputs=self._named(run_id, inputs), **more)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a chain's end."""
        name = self._names.get(run_id)
        self._note("chain_end", run_id, parent_run_id, name=name, outputs=self._named(run_id, outputs))

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a chain died."""
        self._note("chain_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))

    def on_agent_action(
        self, action: AgentAction, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note an agent's decision; ``log`` is the text that verbose mode prints."""
        call_id = getattr(action, "tool_call_id", None)
        self._note(
            "agent_action", run_id, parent_run_id,
            tool=action.tool, tool_input=action.tool_input, tool_call_id=call_id, log=action.log,
        )  # fmt: skip

    def on_agent_finish(
        self, finish: AgentFinish, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note an agent's answer; ``log`` is the text that verbose mode prints."""
        output = finish.return_values.get("output")
        self._note("agent_finish", run_id, parent_run_id, output=output, log=finish.log)

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a tool's start."""
        name = self._name(run_id, serialized, kwargs.get("name"))
        self._note("tool_start", run_id, parent_run_id, name=name, input=input_str, inputs=inputs)

    def on_tool_end(self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a tool's result: ``output`` its content, ``printed`` the text where that differs."""
        content = output.content if isinstance(output, ToolMessage) else str(output)
        more: dict[str, Any] = {"output": content, "output_type": type(output).__name__}
        if isinstance(output, ToolMessage):
            more |= {"tool_call_id": output.tool_call_id, "status": output.status, "printed": str(output)}
        self._note("tool_end", run_id, parent_run_id, name=self._names.get(run_id), **more)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a tool raised."""
        self._note("tool_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))

    def on_text(self, text: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a chain's own text (LLMChain prints its prompt this way)."""
        self._note("text", run_id, parent_run_id, text=text)

    def on_llm_start(
        self, serialized: Any, prompts: list[str], *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a call of a completion model."""
        self._note(
            "llm_start", run_id, parent_run_id, name=self._name(run_id, serialized, kwargs.get("name")), kind="llm"
        )

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a call of a chat model."""
        self._note(
            "llm_start", run_id, parent_run_id, name=self._name(run_id, serialized, kwargs.get("name")), kind="chat"
        )

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a model's reply with its tokens."""
        first = response.generations[0][0]
        message = getattr(first, "message", None)
        told = response.llm_output or {}
        usage = getattr(message, "usage_metadata", None) or told.get("token_usage") or {}
        self._note(
            "llm_end", run_id, parent_run_id,
            name=self._names.get(run_id),
            model=told.get("model_name") or getattr(message, "response_metadata", {}).get("model_name"),
            input_tokens=usage.get("input_tokens", usage.get("prompt_tokens")),
            output_tokens=usage.get("output_tokens", usage.get("completion_tokens")),
            text=first.text,
            tool_calls=[dict(call) for call in getattr(message, "tool_calls", [])],
        )  # fmt: skip

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a model call failed."""
        self._note("llm_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))


def failure(error: BaseException) -> dict[str, str]:
    """An exception's class and text."""
    return {"error_type": type(error).__name__, "error": str(error)}


def plain(values: Any) -> dict[str, Any]:
    """The entries that JSON can hold as they are now: memories grow."""
    kept = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        with contextlib.suppress(TypeError):
            kept[key] = json.loads(json.dumps(value))
    return {key: value for key, value in kept.items() if value is not None}
