"""Lines that carry a frame of their own: a logger's or the platform's, printed in the middle of somebody's block."""

from __future__ import annotations

import re

_PLATFORM = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ", "INIT_START Runtime Version")
_FRAMES = re.compile(
    r"\[[A-Z]{4,8}\]\t\d{4}-\d\d-\d\dT"  # Lambda: [LEVEL]<TAB>time
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]?\d{0,9}Z? (?:- [\w.\-]{1,200} - |- |\[)?(?:DEBUG|INFO|WARN|ERROR|CRITICAL)"
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[A-Za-z_][\w.]{0,200}:"
)
_FIRST = frozenset("[0123456789DIWEC")


def is_foreign(line: str) -> bool:
    """Whether the line is a logger's or the platform's, whatever block it stands in.

    Only frames that hardly occur in an answer or a result count: a time with a level, Lambda's tabs, a JSON object with
    a time and a level. A tool that returns log lines loses those lines to the log they look like.
    """
    first = line[:1]
    if first == "{":
        return (
            line.rstrip().endswith("}")
            and ('"level"' in line or '"levelname"' in line or '"severity"' in line)
            and ('"timestamp"' in line or '"time"' in line or '"ts"' in line or '"asctime"' in line)
        )
    if first in _FIRST and _FRAMES.match(line):
        return True
    return line.startswith(_PLATFORM)
