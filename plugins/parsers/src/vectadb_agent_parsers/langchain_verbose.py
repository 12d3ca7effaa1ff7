r"""LangChain's ``verbose=True``: the format of ``StdOutCallbackHandler``.

Colours are its only reliable delimiters. An agent's step is green, a tool's result has another colour, and no newline
stands between the two, so that one line may hold the end of one, the whole of the next and the start of a third.
``tests/recordings/README.md`` describes the grammar.

A block is one coloured text. Behind a green one it may be some more: the uncoloured reply to a step that LangChain
could not parse or to a tool that does not exist; or the ``> Finished chain.`` that makes it the agent's last.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vectadb_agent import Event, Piece
from vectadb_agent_parsers.agent_events import bounded
from vectadb_agent_parsers.agent_reply import is_unparsed, read_finish, read_reply
from vectadb_agent_parsers.foreign import is_foreign, logs_in, logs_with
from vectadb_agent_parsers.langchain_events import (
    INVALID_TOOL,
    finish_events,
    read_message,
    reply_events,
    result_event,
    run_end,
    run_start,
    uncoloured_reply,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent_parsers.foreign import Logs

_RESET = "\x1b[0m"
_TOKEN = re.compile(
    r"\x1b\[1m> Entering new (?P<enter>[^\x1b\n]*) chain\.\.\.\x1b\[0m"
    r"|\x1b\[1m> (?P<finished>Finished chain\.)\x1b\[0m"
    r"|\x1b\[(?P<colour>[\d;]+)m\x1b\[1;3m"
    r"|\x1b\[(?P<sgr>[\d;]*)m"
)
#: Is any of it LangChain's? Cheaper than taking all colours apart.
_OURS = re.compile(r"\x1b\[1m> (?:Entering new |Finished chain\.)|m\x1b\[1;3m")
_FINISHED = "\x1b[1m> Finished chain."
_GREEN = "32;1"
#: A tool's results have the colour of its place in the agent's list, three in turn.
_PLACES = {"36;1": 0, "33;1": 1, "38;5;200": 2}
#: SGR codes that only switch something off.
_OFF = frozenset(("22", "23", "24", "25", "27", "28", "29", "39", "49"))
_PROMPT = "Prompt after formatting:"
_OBSERVATION = "Observation:"
_THOUGHT = "Thought:"

#: What the open block is: a green text; a text of another colour; the line before a prompt, and the prompt; a green
#: text that has ended with its line, and the same with the blank line that precedes "> Finished chain."; the
#: uncoloured observation on the line behind a green text.
_STEP, _RESULT, _BEFORE_PROMPT, _PROMPTED = "step", "result", "before prompt", "prompt"
_ENDED, _BLANK, _REPLY = "ended", "blank", "reply"
#: Of the state, what is not the mode: neither colours of the text's own, nor log lines.
_PLAIN: tuple[bool, Logs] = (False, "none")


def cut(text: str, state: Any) -> Sequence[Piece]:
    """Cut one record.

    ``state``: what the open block is, whether a colour of the text's own is on in it, and what it holds of log lines.
    """
    mode, inner, logs = state or (None, *_PLAIN)
    if "\x1b[" not in text:
        return _cut_uncoloured(text, mode, inner, logs)
    if mode is None and not _OURS.search(text):
        return ()
    # A new piece right at the record's start ends the open one, of which nothing is here.
    pieces = [piece for piece in _cut_coloured(text, mode, inner, logs) if piece.text]
    return () if all(piece.kind == "other" for piece in pieces) else pieces


def _cut_uncoloured(text: str, mode: str | None, inner: bool, logs: Logs) -> Sequence[Piece]:
    if mode is None:
        return (Piece(text, "start", state=(_BEFORE_PROMPT, *_PLAIN)),) if text.strip() == _PROMPT else ()
    if mode == _ENDED and not text.strip():
        return (Piece(text, "continue", state=(_BLANK, *_PLAIN)),)
    if mode == _ENDED and text.startswith(_OBSERVATION):
        return (Piece(text, "continue", state=(_REPLY, *_PLAIN)),)
    if mode in (_ENDED, _BLANK, _BEFORE_PROMPT):
        return ()
    with_it = logs_with(text, logs)
    if with_it is None or (mode == _REPLY and is_foreign(text)):
        return ()
    return (Piece(text, "continue", state=(mode, inner, with_it)),)


def _cut_coloured(text: str, mode: str | None, inner: bool, logs: Logs) -> list[Piece]:
    tokens = list(_TOKEN.finditer(text))
    pieces: list[Piece] = []
    begin = 0  # of the piece under way, or of text that is nobody's yet
    opened = False  # whether the piece under way began in this record
    number = 0
    if not tokens and mode in (_ENDED, _BLANK, _REPLY, _BEFORE_PROMPT):
        mode = None  # an escape that is no colour
    if mode in (_ENDED, _BLANK, _REPLY, _BEFORE_PROMPT):
        first, blank = tokens[0], not text[: tokens[0].start()].strip()
        if blank and mode == _BEFORE_PROMPT and first["colour"]:
            mode, number = _PROMPTED, 1
        elif blank and mode in (_ENDED, _BLANK) and first["finished"]:
            begin, number = _with_newline(text, first.end()), 1
            pieces.append(Piece(text[:begin], "continue", closes=True))
            mode = None
        else:
            mode = None
    while number < len(tokens):
        token = tokens[number]
        if mode is None:
            number += 1
            if token["sgr"] is not None:
                continue
            start, label = _lead(text, begin, token.start())
            if start > begin:
                pieces.append(Piece(text[begin:start], "other"))
            begin = start
            if token["colour"]:
                mode = _PROMPTED if label == _PROMPT else _STEP if token["colour"] == _GREEN else _RESULT
                opened, inner = True, False
                logs = logs_in(text[token.end() :])
            else:
                end = _with_newline(text, token.end())
                pieces.append(Piece(text[begin:end], "start", closes=True))
                begin = end
            continue
        codes = token["sgr"]
        if codes is None:
            # A new piece without the end of the old one: lines are missing.
            end, then = token.start(), None
        else:
            number += 1
            following = tokens[number] if number < len(tokens) else None
            if codes not in ("", "0"):
                inner = not _OFF.issuperset(codes.split(";"))
                continue
            if not _ends(token, following, inner):
                inner = False
                continue
            end, then = _end(text, mode, token.end(), following)
            if following is not None and end > following.start():
                number += 1
        pieces.append(Piece(text[begin:end], "start" if opened else "continue", closes=then is None, state=then))
        begin, mode = end, None
        if then is not None:
            return pieces
    if mode is not None:
        pieces.append(Piece(text[begin:], "start" if opened else "continue", state=(mode, inner, logs)))
    elif begin < len(text):
        pieces.append(Piece(text[begin:], "other"))
    return pieces


def _ends(token: re.Match[str], following: re.Match[str] | None, inner: bool) -> bool:
    """Whether a reset ends LangChain's text, or a colour within it."""
    if following is None:
        return not inner
    if following["sgr"] is None and following.start() == token.end():
        return True
    # LangChain resets once: before another reset, this one is the text's own.
    return not inner and following["sgr"] not in ("", "0")


def _end(text: str, mode: str, end: int, following: re.Match[str] | None) -> tuple[int, Any]:
    """Return where the piece ends whose colour ends at ``end``, and its state if it stays open."""
    gap = text[end : following.start() if following else len(text)]
    if mode != _STEP:
        return (end + len(gap) if following is None and not gap.strip() else end), None
    if following is None:
        if not gap.strip():
            return len(text), (_ENDED, *_PLAIN)
        if gap.lstrip().startswith(_OBSERVATION):
            return len(text), (_REPLY, *_PLAIN)
    elif following["finished"] and not gap.strip():
        return _with_newline(text, following.end()), None
    elif (following["colour"] == _GREEN and _lead(gap, 0, len(gap))[0]) or (
        following["colour"] and INVALID_TOOL in gap
    ):
        return _lead(text, end, following.start())[0], None
    return end, None


def _lead(text: str, begin: int, end: int) -> tuple[int, str]:
    """Find where a piece begins whose colour begins at ``end``: before blank text and the label, which is returned."""
    body = text[begin:end].rstrip()
    for label in (_THOUGHT, _OBSERVATION, _PROMPT):
        if body.endswith(label) and body[-len(label) - 1 : -len(label)] in ("", "\n"):
            body = body[: -len(label)].rstrip()
            break
    else:
        label = ""
    if not body:
        return begin, label
    start = begin + len(body)
    # Blank text in the middle of a line belongs to what stands before it; so does the newline that ends a line.
    return (_with_newline(text, start) if label else end), label


def _with_newline(text: str, end: int) -> int:
    if text.startswith("\r\n", end):
        return end + 2
    return end + 1 if text.startswith("\n", end) else end


def events(text: str) -> list[Event] | None:
    """Make the events of one piece; ``None`` if the text does not begin as a piece does."""
    token = next((token for token in _TOKEN.finditer(text) if token["sgr"] is None), None)
    if token is None:
        return None
    if token["enter"] is not None:
        return [bounded(run_start(token["enter"]), "start")]
    if token["finished"]:
        return [run_end()]
    body, finished, _ = text[token.end() :].partition(_FINISHED)
    content, reset, tail = body.rpartition(_RESET)
    if not reset:
        content, tail = body, ""  # cut short
    if text[: token.start()].strip() == _PROMPT:
        return [Event(event_type="message", properties={"message": content, "label": _PROMPT})]
    result = result_event(content)
    read_message(content, result)
    if token["colour"] in _PLACES:
        result.properties["tool_place"] = _PLACES[token["colour"]]
    if token["colour"] != _GREEN or "gen_ai.tool.call.id" in result.properties:
        return [result]
    if finished:
        return [*finish_events(read_finish(content)), run_end(agent=True)]
    reply = read_reply(content)
    made = reply_events(reply)
    tail = tail.strip().removesuffix(_THOUGHT).rstrip().removeprefix(_OBSERVATION).strip()
    if tail:
        made.extend(uncoloured_reply(reply, tail))
    elif reset and reply.tool is None and content and not is_unparsed(content):
        # Green too, unless told otherwise, is the result of a tool that a program calls itself; an agent's never are.
        result.properties["call_not_told"] = True
        return [result]
    return made
