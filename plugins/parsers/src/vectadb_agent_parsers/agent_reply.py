"""What a model's reply tells an agent to do: call a tool, or finish. The grammars of LangChain's own output parsers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import re2

from vectadb_agent_parsers import literals

_INVOKING = "\nInvoking: `"
_FINAL = "Final Answer:"
#: LangChain's own expressions; RE2 runs them in linear time.
_ACTION = re2.compile(r"(?s)Action\s*\d*\s*:[\s]*(.*?)[\s]*Action\s*\d*\s*Input\s*\d*\s*:[\s]*(.*)")
_FENCE = re2.compile(r"(?s)```(?:json\s+)?(\W.*?)```")
_TOOL = re2.compile(r"(?s)<tool>(.*?)</tool>")
_TOOL_INPUT = re2.compile(r"(?s)<tool_input>(.*?)(?:</tool_input>|\z)")
_ANSWER_TAG = re2.compile(r"(?s)<final_answer>(.*?)(?:</final_answer>|\z)")
_ESCAPED_TAG = re2.compile(r"\[\[(/?(?:tool|tool_input|observation))\]\]")
_FOLLOW_UPS, _SELF_ASKED = ("Follow up:", "Followup:"), "So the final answer is: "
_NO_TOOL = re2.compile(r"(?s)\A(?:.*?Do I need to use a tool\? No\s*\n\s*([^\n:]{1,40}):|\s*(AI):)")
_relaxed = json.JSONDecoder(strict=False).decode
#: How LangChain begins the text of a reply that it could not parse.
_UNPARSED = ("Parsing LLM output produced both a final answer", "Could not parse LLM output: ")


class Reply(msgspec.Struct):
    """A model's reply, taken apart. Either ``tool`` and ``arguments``, or ``answer``, or neither (a bare thought)."""

    thought: str = ""
    tool: str | None = None
    arguments: Any = None
    answer: str | None = None


def read_reply(text: str) -> Reply:
    """Take a reply apart: tool-calling (``Invoking: …``), XML, ReAct, a JSON blob, or a follow-up question."""
    if is_unparsed(text):
        return Reply(thought=text.strip())
    return (
        _invoking(text) or _tags(text) or _react(text) or _blob(text) or _asked(text) or Reply(thought=_thought(text))
    )


def is_unparsed(text: str) -> bool:
    """Whether LangChain says of a reply that it could not parse it."""
    return text.startswith(_UNPARSED)


def read_finish(text: str) -> Reply:
    """Take apart a reply of which it is known that the agent finished with it: what has no marker is all answer."""
    if _FINAL in text:
        thought, _, answer = text.rpartition(_FINAL)
        return Reply(thought=_thought(thought), answer=answer.strip())
    blob = _blob(text)
    if blob is not None and blob.answer is not None:
        return blob
    if (tag := _ANSWER_TAG.search(_clean(text)) if "<final_answer>" in text else None) is not None:
        return Reply(thought=_thought(text[: tag.start()]), answer=_unescaped(tag[1]))
    before, _, last = text.rpartition("\n")
    if _SELF_ASKED in last:
        return Reply(thought=_thought(before), answer=last[len(_SELF_ASKED) :])
    if (spoken := _NO_TOOL.match(_clean(text)) if ":" in text else None) is not None:
        # What a conversational agent says to a human has its own name before it.
        thought, _, answer = text.rpartition(f"{spoken[1] or spoken[2]}:")
        return Reply(thought=_thought(thought), answer=answer.strip())
    return Reply(answer=plain_content(text))


def plain_content(text: str) -> str:
    """Return the text of a message's content where it is a ``repr`` of content blocks, else ``text`` as it is."""
    if not text.startswith("[{'"):
        return text
    try:
        blocks = literals.read(text)
    except literals.NotALiteral:
        return text
    return content_text(blocks) if type(blocks) is list else text


def content_text(content: Any) -> str:
    """Return the text of a message's content: a text, or a list of texts and content blocks."""
    if type(content) is str:
        return content
    texts: list[str] = []
    for block in content if type(content) is list else ():
        value = block.get("text") if type(block) is dict else block
        if type(value) is str:
            texts.append(value)
    return "".join(texts)


def json_or_text(value: Any) -> Any:
    """Return the value that a JSON text holds; a text that is none, and whatever is no text, as it is."""
    if type(value) is not str:
        return value
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value


def literal_or_text(text: str) -> Any:
    """Return the dict whose Python ``repr`` is ``text``, or ``text`` itself.

    JSON is no ``repr``, though it often could be one: it is a text argument, and stays as the tool got it.
    """
    if not text.startswith("{'") and text != "{}":
        return text
    try:
        return literals.read(text)
    except literals.NotALiteral:
        return text


def _invoking(text: str) -> Reply | None:
    if not text.startswith(_INVOKING):
        return None
    name, found, rest = text[len(_INVOKING) :].partition("` with `")
    if not found:
        return None
    responded = -1
    if rest.startswith("{") and rest.partition("\n")[0].endswith("`"):
        # A repr has no newline of its own, but may hold backticks.
        printed, _, after = rest.partition("\n")
        printed = printed[:-1]
        responded = 0 if after.startswith("responded: ") else -1
    else:
        # A lone text argument is printed raw. It ends at the last backtick, or before the reply's own text.
        responded = rest.find("`\nresponded: ")
        printed = rest[:responded] if responded >= 0 else rest.rstrip("\n").removesuffix("`")
        after = rest[responded + 2 :]
    thought = plain_content(after.removeprefix("responded: ").strip()) if responded >= 0 else ""
    return Reply(thought=thought, tool=name, arguments=literal_or_text(printed))


def _react(text: str) -> Reply | None:
    if "Input" not in text or _FINAL in text:
        return None
    found = _ACTION.search(_clean(text))
    if found is None:
        return None
    # The very steps of ReActSingleInputOutputParser: this is what the tool gets.
    arguments = found[2].strip(" ").strip('"')
    return Reply(thought=_thought(text[: found.start()]), tool=found[1].strip(), arguments=arguments)


def _blob(text: str) -> Reply | None:
    """A JSON object with ``action`` and ``action_input``, in a fence or bare."""
    if '"action"' not in text:
        return None
    begin, action = len(text), None
    if "```" in text and (found := _FENCE.search(_clean(text))) is not None:
        begin, action = found.start(), _action(found[1])
        if action is None:  # a fence within a text of the object's
            action = _action(text[found.start(1) : text.rfind("```")])
    elif (bare := text.strip()).startswith(("{", "[")) and bare.endswith(("}", "]")):
        begin, action = 0, _action(bare)
    if action is None:
        return None
    thought = _thought(text[:begin].rstrip().removesuffix("Action:"))
    given = action.get("action_input")
    given = {} if given is None else given
    if action["action"] == "Final Answer":
        answer = given if type(given) is str else msgspec.json.encode(given).decode()
        return Reply(thought=thought, answer=answer)
    return Reply(thought=thought, tool=action["action"], arguments=given)


def _action(text: str) -> dict[str, Any] | None:
    """The object, or the first of several; LangChain lets newlines stand in its texts as they are."""
    try:
        action = _relaxed(text)
    except (ValueError, RecursionError):
        return None
    if type(action) is list and action:
        action = action[0]
    return action if type(action) is dict and type(action.get("action")) is str else None


def _tags(text: str) -> Reply | None:
    """XML: the tags may be cut off where the model was told to stop."""
    found = _TOOL.search(_clean(text)) if "<tool>" in text else None
    if found is None:
        return None
    given = _TOOL_INPUT.search(_clean(text), found.end())
    return Reply(
        thought=_thought(text[: found.start()]),
        tool=_unescaped(found[1]),
        arguments="" if given is None else _unescaped(given[1]),
    )


def _unescaped(text: str) -> str:
    return _ESCAPED_TAG.sub(r"<\1>", text) if "[[" in text else text


def _asked(text: str) -> Reply | None:
    """Self-ask with search: the last line asks its one tool."""
    before, _, last = text.rpartition("\n")
    if not any(mark in last for mark in _FOLLOW_UPS):
        return None
    return Reply(thought=_thought(before), tool="Intermediate Answer", arguments=last.rpartition(":")[2].strip())


def _clean(text: str) -> str:
    """Lone surrogates replaced one for one: RE2 reads UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _thought(text: str) -> str:
    return text.strip().removeprefix("Thought:").strip()
