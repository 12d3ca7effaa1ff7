"""Python tracebacks: where one begins, which lines belong to it, and what was raised."""

from __future__ import annotations

import re

HEADING = "Traceback (most recent call last):"
_CAUSES = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_RAISED = re.compile(r"([A-Za-z_][\w.]{0,200})(?:: (.*))?", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]{0,200}")
_IN_GROUP = re.compile(r"[\s|+\-]*")


def raised(text: str) -> tuple[str, str] | None:
    r"""Return type and message of the exception that the last traceback in ``text`` ends with.

    The message may have several lines. ``None`` where no traceback stands there, or it is cut before its end.

    >>> raised("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n")
    ('KeyError', "'x'")
    """
    start = text.rfind(HEADING)
    if start < 0:
        return None
    lines = text[start:].replace("\r", "\n").split("\n")[1:]
    for number, line in enumerate(lines):
        # A frame is indented, by no-break spaces where Lambda writes it; a group's lines carry a margin.
        if not line.strip() or line[0] in " \t\xa0":
            continue
        found = _RAISED.fullmatch("\n".join(lines[number:]).rstrip())
        return (found[1], found[2] or "") if found else None
    for line in lines:
        found = _RAISED.fullmatch(_IN_GROUP.sub("", line, count=1))
        if found and found[2] is not None and "Group" in found[1]:
            return found[1], found[2]
    return None


def is_exception_line(line: str) -> bool:
    """Whether the line can be the last of a traceback: ``Type`` or ``Type: message``."""
    name, colon, _ = line.rstrip("\r\n").partition(": ")
    return bool(_IDENTIFIER.fullmatch(name if colon else name.rstrip(":")))


def is_cause(line: str) -> bool:
    """Whether the line joins two tracebacks of a chain."""
    return line.startswith(_CAUSES)
