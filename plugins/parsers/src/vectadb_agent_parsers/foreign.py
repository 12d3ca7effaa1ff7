"""Lines that carry a frame of their own: a logger's or the platform's, printed in the middle of somebody's block."""

from __future__ import annotations

import re
from typing import Literal

Logs = Literal["none", "next", "some"]
"""Whether a text holds log lines; ``next``: none yet, but the next line may be one."""

_ANNOUNCE = (":", "```")
_LOG_LIKE = re.compile(
    r"[\[(]?(?:\d{4}-\d\d-\d\d[T ]|\d\d:\d\d:\d\d|\d{13}\b|(?:DEBUG|INFO|WARN|ERROR|CRITICAL|FATAL))"
)
_PLATFORM = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ", "INIT_START Runtime Version")
_FRAMES = re.compile(
    r"\[[A-Z]{4,8}\]\t\d{4}-\d\d-\d\dT"  # Lambda: [LEVEL]<TAB>time
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]?\d{0,9}Z? (?:- [\w.\-]{1,200} - |- |\[)?(?:DEBUG|INFO|WARN|ERROR|CRITICAL)"
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[A-Za-z_][\w.]{0,200}:"
)
_FIRST = frozenset("[0123456789DIWEC")
_ID = r"[0-9A-Za-z][0-9A-Za-z\-]{7,63}"
#: What Lambda and its Node runtime write of an invocation that fails, or of a message: always a record of its own.
_LAMBDAS = re.compile(
    rf"\d{{4}}-\d\d-\d\dT[\d:.]{{8,20}}Z(?: {_ID} Task timed out after \d|\t(?:{_ID}|undefined)\t[A-Z]{{4,5}}\t)"
    rf"|RequestId: {_ID} (?:Error: |Process exited before )"
)
_PLATFORM_JSON = re.compile(r'\{.{0,200}"type": ?"platform\.[A-Za-z]{3,30}"')


def is_lambdas(text: str) -> bool:
    """Whether a record as a whole is Lambda's own word on an invocation: all its lines belong to it.

    That is a timeout, a runtime's exit, a Node frame, an event of the platform in JSON (time, type and record), or an
    error that left a Python handler, with its traceback joined by carriage returns or newlines.
    """
    first = text[:1]
    if first == "{":
        return _PLATFORM_JSON.match(text) is not None and '"record"' in text and text.rstrip().endswith("}")
    if first == "[":
        return text.startswith("[ERROR] ") and ("\rTraceback (most" in text or "\nTraceback (most" in text)
    return (first == "R" or first.isdigit()) and _LAMBDAS.match(text) is not None


def is_foreign(line: str) -> bool:
    """Whether the line is a logger's or the platform's, whatever block it stands in.

    Only frames that hardly occur in an answer or a result count: a time with a level, Lambda's tabs, a JSON object with
    a time and a level. Where a tool returns such lines, :func:`logs_with` tells them from others' as far as that goes.
    """
    first = line[:1]
    if is_lambdas(line):
        return True
    if first == "{":
        return (
            line.rstrip().endswith("}")
            and ('"level"' in line or '"levelname"' in line or '"severity"' in line)
            and ('"timestamp"' in line or '"time"' in line or '"ts"' in line or '"asctime"' in line)
        )
    if first in _FIRST and _FRAMES.match(line):
        return True
    return line.startswith(_PLATFORM)


def logs_with(line: str, logs: Logs) -> Logs | None:
    """What a text that was printed in one go holds of log lines, with one line more; ``None`` if it is not the text's.

    A log line is the text's own behind another one, also of a form that nobody else would take, and behind a line that
    announces it. Else it came between: stdout and stderr meet line by line, and a process may die within a text.
    """
    if is_foreign(line):
        return None if logs == "none" else "some"
    if logs == "some" or not line.strip():
        return logs
    if _LOG_LIKE.match(line):
        return "some"
    return "next" if line.rstrip().endswith(_ANNOUNCE) else "none"


def logs_in(first: str) -> Logs:
    """The same of a text of which that is the first line."""
    return "some" if is_foreign(first) else logs_with(first, "none") or "none"
