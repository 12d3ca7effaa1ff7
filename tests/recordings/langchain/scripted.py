"""Models that give the replies of a script, one per call, and the ways to write such a script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall, ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult

MODEL = "scripted-1"


def say(
    content: str | list[str | dict[str, Any]],
    *calls: tuple[str, dict[str, Any]],
    tokens: tuple[int, int] = (0, 0),
) -> AIMessage:
    """One scripted reply: text, tool calls as ``(name, arguments)``, and tokens in and out."""
    sent = tokens[0] or 120
    received = tokens[1] or max(1, len(str(content)) // 4)
    return AIMessage(
        content=content,
        tool_calls=[ToolCall(name=name, args=arguments, id=None, type="tool_call") for name, arguments in calls],
        usage_metadata={
            "input_tokens": sent,
            "output_tokens": received,
            "total_tokens": sent + received,
        },
        response_metadata={
            "model_name": MODEL,
            "finish_reason": "tool_calls" if calls else "stop",
        },
    )


class ScriptedChat(BaseChatModel):
    """A chat model that gives the replies of its script, one per call; an exception is raised."""

    script: list[Any]
    label: str = "a"
    cursor: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Take the tools as a real model does; the script alone decides what is called."""
        return self.bind(tools=[getattr(item, "name", str(item)) for item in tools], **kwargs)

    def next_reply(self) -> AIMessage:
        """The next scripted reply; its id has the form that LangChain gives, its calls have ids of their own."""
        reply: AIMessage | Exception = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, Exception):
            raise reply
        identity = f"lc_run--01990000-0000-7000-8000-{self.label:0>4}{self.cursor:08d}-0"
        calls = [
            {**call, "id": f"call_{self.label}{self.cursor}_{index}"} for index, call in enumerate(reply.tool_calls)
        ]
        return reply.model_copy(update={"id": identity, "tool_calls": calls})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self.next_reply()
        usage: Any = reply.usage_metadata or {}
        return ChatResult(
            generations=[ChatGeneration(message=reply)],
            llm_output={"token_usage": dict(usage), "model_name": MODEL},
        )


class StreamingChat(ScriptedChat):
    """The same, word by word, as hosted models answer an AgentExecutor."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self.next_reply()
        for word in str(reply.content).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} ", id=reply.id))
        for index, call in enumerate(reply.tool_calls):
            text = json.dumps(call["args"], ensure_ascii=False)
            for part, name, call_id in ((text[:5], call["name"], call["id"]), (text[5:], None, None)):
                chunk = ToolCallChunk(name=name, args=part, id=call_id, index=index, type="tool_call_chunk")
                yield ChatGenerationChunk(message=AIMessageChunk(content="", id=reply.id, tool_call_chunks=[chunk]))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                id=reply.id,
                usage_metadata=reply.usage_metadata,
                response_metadata=reply.response_metadata,
            )
        )


class ScriptedLLM(BaseLLM):
    """A completion model (text in, text out) that gives the replies of its script."""

    script: list[str]
    cursor: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        replies = self.script[self.cursor : self.cursor + len(prompts)]
        self.cursor += len(prompts)
        sent = sum(len(prompt) for prompt in prompts) // 4
        received = sum(len(reply) for reply in replies) // 4
        return LLMResult(
            generations=[[Generation(text=r, generation_info={"finish_reason": "stop"})] for r in replies],
            llm_output={
                "token_usage": {
                    "prompt_tokens": sent,
                    "completion_tokens": received,
                    "total_tokens": sent + received,
                },
                "model_name": MODEL,
            },
        )


def act(thought: str, name: str, argument: str) -> AIMessage:
    """A ReAct reply that calls a tool; it follows the prompt's ``Thought:``."""
    return say(f" {thought}\nAction: {name}\nAction Input: {argument}")


def answer(text: str, thought: str = "I now know the final answer") -> AIMessage:
    """A ReAct reply that ends the run."""
    return say(f" {thought}\nFinal Answer: {text}")
