"""Recordings as the records that CloudWatch would hold, a record a line: of Lambda's invocations, or of a service."""

from __future__ import annotations

import re
import uuid
from itertools import zip_longest
from typing import TYPE_CHECKING

from tests.recordings.lambda_framing import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.accuracy.recordings import Recording

BARE = frozenset({"bedrock", "agentcore", "lambda_platform"})
"""What no function's invocation prints, or what holds the platform's lines already: nothing is put around it."""
NAMING = frozenset({"awslambdaric", "powertools", "lambda_platform"})
"""Formats that name invocations: these are the ones that START and END must name."""
_TREE = re.compile(r"^\*{10}\nTrace: ", re.MULTILINE)
LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_STEP = 500
"""Microseconds from one record to the next."""
_PAUSE = 1_000_000
"""Microseconds from one run of a service to the next."""
_RUNS = 5
"""Of a service's, in one stream."""
_DIES = 3
"""Of a service's runs each third dies, with this on its standard error."""
_DEATH = (
    "Traceback (most recent call last):",
    '  File "/app/serve.py", line 41, in handle',
    "    reply = answer(request)",
    "TimeoutError: gave up after 60 s",
)

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


def is_one_run(recording: Recording) -> bool:
    """Whether the recording is of one run that a service might print: not of several, nor of an invocation.

    A tree of LlamaIndex's debug handler calls itself a trace: several are several.
    """
    whole = [run for run in recording.runs if run["within"] is None]
    if not recording.text or recording.framework in NAMING:
        return False
    return len(whole) <= 1 and len(_TREE.findall(recording.text)) <= 1


def in_streams(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """Some runs for each stream of a service. A process that was killed prints no further ones: its run is the last."""
    others = [recording for recording in recordings if not _is_killed(recording)]
    streams = [others[at : at + _RUNS] for at in range(0, len(others), _RUNS)]
    lasts = [[recording] for recording in recordings if _is_killed(recording)]
    return [(before or []) + (last or []) for before, last in zip_longest(streams, lasts)]


def _is_killed(recording: Recording) -> bool:
    return "killed" in recording.name or any(run.get("interrupted") for run in recording.runs)


def served(recordings: Sequence[Recording], start_us: int) -> list[tuple[int, str, str]]:
    """The records of a long-lived service's log stream, each with the key of its recording: one run after the other.

    As Docker's ``awslogs`` driver ships them from ECS and EC2: nothing stands around a run, lines have lost their
    newlines, and empty ones are left out. A run that dies has printed two thirds of its lines, and ends in a traceback,
    but not within one coloured text, which is printed in one go.
    """
    records: list[tuple[int, str, str]] = []
    when = start_us
    for number, recording in enumerate(recordings, start=1):
        lines = LINE.findall(recording.text)
        if number % _DIES == 0 and recording.framework not in BARE:
            last = max(1, len(lines) * 2 // 3)
            while last > 1 and _is_coloured("".join(lines[:last])):
                last -= 1
            lines = [*lines[:last], *_DEATH]
        for line in lines:
            if message := line.removesuffix("\n"):
                records.append((when // 1_000 * 1_000, message, recording.key))
                when += _STEP
        when += _PAUSE
    return records


def _is_coloured(text: str) -> bool:
    return text.rfind("\x1b[1;3m") > text.rfind("\x1b[0m")
