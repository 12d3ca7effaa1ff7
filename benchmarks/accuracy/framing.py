"""Recordings as the records that CloudWatch would hold: a record a line, Lambda's START, END and REPORT around them."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from tests.recordings.lambda_framing import frame

if TYPE_CHECKING:
    from benchmarks.accuracy.recordings import Recording

BARE = frozenset({"bedrock", "agentcore", "lambda_platform"})
"""What no function's invocation prints, or what holds the platform's lines already: nothing is put around it."""
NAMING = frozenset({"awslambdaric", "powertools", "lambda_platform"})
"""Formats that name invocations: these are the ones that START and END must name."""
LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_STEP = 500
"""Microseconds from one record to the next."""

Record = tuple[int, str, int | None]
"""Microseconds since the epoch, the message, and the line of the text that it is; none of the platform's."""


def invocations(recording: Recording) -> list[str]:
    """The request ids of the invocations that the recording's text is of, in order."""
    named = [run["name"] for run in recording.runs if run["kind"] == "invocation"]
    if named or recording.framework in NAMING:
        return named
    if recording.framework in BARE:
        return []
    return [str(uuid.uuid5(uuid.NAMESPACE_URL, recording.key))]


def framed(recording: Recording, start_us: int) -> list[Record]:
    """The recording's records.

    A second invocation begins at the first line that names it: which one printed the unnamed lines before that is not
    told, nor judged.
    """
    lines = LINE.findall(recording.text)
    requests = invocations(recording)
    begins = [0]
    for request in requests[1:]:
        named = next((number for number, line in enumerate(lines) if request in line), len(lines))
        begins.append(max(named, begins[-1]))
    if recording.framework in BARE or not requests:
        return [(_at(start_us, number), line, number) for number, line in enumerate(lines)]
    records: list[Record] = []
    for request, begin, end in zip(requests, begins, [*begins[1:], len(lines)], strict=True):
        around = frame(
            "".join(lines[begin:end]), request_id=request, start_us=_at(start_us, len(records)), step_us=_STEP
        )
        for place, (when, message) in enumerate(around, start=begin - 1):
            records.append((when, message, place if begin <= place < end else None))
    return records


def _at(start_us: int, number: int) -> int:
    return (start_us + number * _STEP) // 1_000 * 1_000
