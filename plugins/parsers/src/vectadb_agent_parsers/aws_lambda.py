r"""``lambda``: what AWS Lambda itself writes, and the frames that its runtimes put around log messages.

Every event carries the request id, so that one invocation is one trace. Lines that a program prints have no frame: they
are left to other parsers, and the server finds their request by the START and END around them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import ComponentConfig, Event, Parser, Piece
from vectadb_agent_parsers.fields import ERROR_LEVELS, find_ids, level_name, microseconds
from vectadb_agent_parsers.json_lines import event_of
from vectadb_agent_parsers.tracebacks import raised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block

_ID = r"[0-9A-Za-z][0-9A-Za-z\-]{7,63}"
_PLATFORM = re.compile(rf"(?:(START|END|REPORT) )?RequestId: ({_ID})\b[ \t]*((?s:.*))")
_INIT = re.compile(r"INIT_(START|REPORT)\s((?s:.*))")
_VERSION = re.compile(r"Version:\s*(\S+)")
_TIMED_OUT = re.compile(rf"(\d{{4}}-\S{{10,30}})\s({_ID})\s(Task timed out after ([\d.]+) seconds(?s:.*))")
_FRAME = re.compile(rf"\[([A-Za-z]{{3,13}})\]\t(\d{{4}}-[^\t\n]{{10,30}})\t({_ID})\t((?s:.*))")
_NODE_FRAME = re.compile(rf"(\d{{4}}-[^\t\n]{{10,30}})\t({_ID}|undefined)\t([A-Za-z]{{3,13}})\t((?s:.*))")
_UNFRAMED = re.compile(r"\[(ERROR|CRITICAL|WARNING)\] ((?s:.*))")
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,200}): ")
_EXITED = re.compile(r"Error: (\S+)")

#: Label in the REPORT line, name in the platform's JSON, property.
_NUMBERS = (
    ("Duration", "durationMs", "faas.duration_ms"),
    ("Billed Duration", "billedDurationMs", "faas.billed_duration_ms"),
    ("Memory Size", "memorySizeMB", "faas.memory_mb"),
    ("Max Memory Used", "maxMemoryUsedMB", "faas.max_memory_used_mb"),
    ("Init Duration", "initDurationMs", "faas.init_duration_ms"),
    ("Restore Duration", "restoreDurationMs", "faas.restore_duration_ms"),
    ("Billed Restore Duration", "billedRestoreDurationMs", "faas.billed_restore_duration_ms"),
)
_BY_LABEL = {label: name for label, _, name in _NUMBERS}
_TEXTS = {
    "Status": "faas.status",
    "Error Type": "error.type",
    "XRAY TraceId": "xray_trace_id",
    "Phase": "faas.phase",
    "Runtime Version": "faas.runtime_version",
    "Runtime Version ARN": "faas.runtime_version_arn",
}
_BOUNDARIES = ("START RequestId: ", "END RequestId: ")
_JSON_BOUNDARIES = ("platform.start", "platform.report")
_BOUNDARY = frozenset("SE{")
_TRACE_ROOT = re.compile(r"Root=([^;]{1,100})")
#: What ``durationMs`` lasts, where it is not the invocation.
_DURATIONS = {"platform.initReport": "faas.init_duration_ms", "platform.restoreReport": "faas.restore_duration_ms"}
_decode = msgspec.json.Decoder().decode


class LambdaParser(Parser):
    """START, END, REPORT, INIT lines, timeouts, framed log messages, and the JSON log format.

    An invocation has one end: END in text logs, ``platform.report`` in JSON logs (which have no END, and omit
    ``platform.runtimeDone`` at the default log level).
    """

    name = "lambda"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make one event of a line of the platform's or a framed message."""
        text = block.text
        first = text[:1]
        event: Event | None = None
        if first == "[":
            event = _framed(text)
        elif first == "{":
            event = _json(text)
        elif first in ("S", "E", "R"):
            event = _platform(text)
        elif first == "I":
            event = _init(text)
        elif first.isdigit():
            event = _timed_out(text) or _node(text)
        if event is None:
            return None
        event.raw = text
        return [event]

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Let an invocation's start and end close the block that is open: what comes next is another's."""
        if text[:1] not in _BOUNDARY or text.find("\n", 0, -1) >= 0:
            return ()
        if text.startswith(_BOUNDARIES) or (text[0] == "{" and _is_json_boundary(text)):
            return (Piece(text, "start", closes=True),)
        return ()


def frame_end(text: str) -> int | None:
    """Where the message begins behind the frame of a runtime."""
    if text.find("\t", 0, 45) < 0:
        return None
    found = _FRAME.match(text) or _NODE_FRAME.match(text)
    return None if found is None else found.start(4)


def frame(text: str) -> tuple[Event, int] | None:
    """Read the frame that a runtime puts around a message: an event of that alone, and where the message begins."""
    if (found := _FRAME.match(text)) is not None:
        level, time, request, _ = found.groups()
    elif (found := _NODE_FRAME.match(text)) is not None:
        time, request, level, _ = found.groups()
    else:
        return None
    return _message(level, time, None if request == "undefined" else request, ""), found.start(4)


def _is_json_boundary(text: str) -> bool:
    if not any(mark in text for mark in _JSON_BOUNDARIES):
        return False
    event = _json(text)
    return event is not None and event.event_type in ("invocation_start", "invocation_end")


def _platform(text: str) -> Event | None:
    found = _PLATFORM.match(text)
    if found is None:
        return None
    word, request, rest = found.groups()
    event = Event(request_id=request, properties={})
    if word == "START":
        event.event_type = "invocation_start"
        version = _VERSION.search(rest)
        if version:
            event.properties["faas.version"] = version[1]
    elif word == "END":
        event.event_type = "invocation_end"
    elif word == "REPORT":
        # A log, also where it says "Status: timeout": the line before has told of the error already.
        event.properties = _report(rest)
    elif "Error: " in rest or "exited before" in rest:
        # "RequestId: … Error: Runtime exited with error: signal: killed", "RequestId: … Process exited before …"
        cause = _EXITED.match(rest)
        kind = cause[1] if cause and "." in cause[1] else "Runtime.ExitError"
        event.event_type = "error"
        event.properties = {"level": "ERROR", "message": rest.strip(), "error.type": kind}
    else:
        return None
    return event


def _report(text: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for part in re.split(r"[\t\n]", text):
        label, colon, value = part.strip().partition(": ")
        if not colon:
            continue
        if label in _TEXTS:
            properties[_TEXTS[label]] = value
        elif label in _BY_LABEL:
            number = value.split(" ", 1)[0]
            try:
                properties[_BY_LABEL[label]] = float(number) if "." in number else int(number)
            except ValueError:
                properties[_BY_LABEL[label]] = value
    return properties


def _init(text: str) -> Event | None:
    found = _INIT.match(text)
    if found is None:
        return None
    properties = _report(found[2])
    failed = properties.get("faas.status") in ("timeout", "error")
    if failed:
        properties.setdefault("error.type", properties["faas.status"])
    return Event(event_type="error" if failed else "log", properties={"message": text.strip(), **properties})


def _timed_out(text: str) -> Event | None:
    found = _TIMED_OUT.match(text)
    if found is None:
        return None
    time, request, message, seconds = found.groups()
    properties = {
        "level": "ERROR",
        "message": message.strip(),
        "error.type": "timeout",
        "faas.timeout_s": float(seconds),
    }
    return Event(event_type="error", timestamp=microseconds(time), request_id=request, properties=properties)


def _framed(text: str) -> Event | None:
    found = _FRAME.match(text)
    if found is not None:
        level, time, request, message = found.groups()
        return _message(level, time, request, message)
    unframed = _UNFRAMED.match(text)
    if unframed is None:
        return None
    # What leaves the handler: "[ERROR] KeyError: 'x'" and its traceback.
    level, message = unframed.groups()
    found = _EXCEPTION.match(message)
    if found is None:
        return None
    event = _message(level, None, None, message)
    event.properties.setdefault("error.type", found[1])
    if "Traceback (most" in message:
        event.properties["message"] = message[found.end() :].split("\n", 1)[0].split("\r", 1)[0]
    return event


def _node(text: str) -> Event | None:
    found = _NODE_FRAME.match(text)
    if found is None:
        return None
    time, request, level, message = found.groups()
    return _message(level, time, None if request == "undefined" else request, message)


def _message(level: str, time: str | None, request: str | None, message: str) -> Event:
    name = level_name(level)
    properties: dict[str, Any] = {"level": name or level, "message": message.rstrip("\n")}
    event = Event(
        event_type="error" if name in ERROR_LEVELS else "log",
        timestamp=None if time is None else microseconds(time),
        request_id=request,
        properties=properties,
    )
    exception = raised(message) if "Traceback" in message else None
    if exception is not None:
        properties["error.type"] = exception[0]
        properties["error.message"] = exception[1]
    find_ids(event, message)
    return event


def _json(text: str) -> Event | None:
    if '"requestId"' not in text and '"platform.' not in text:
        return None
    try:
        members = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None  # the json parser says what is wrong with it
    kind = members.get("type")
    if type(kind) is str and kind.startswith("platform.") and type(members.get("record")) is dict:
        return _platform_json(kind, members["record"], members.get("time"))
    if type(members.get("requestId")) is not str or "level" not in members:
        return None
    event = event_of(members)
    properties = event.properties
    if type(properties.get("errorType")) is str:
        properties["error.type"] = properties.pop("errorType")
        event.event_type = "error"
        if type(properties.get("errorMessage")) is str:
            properties["error.message"] = properties.pop("errorMessage")
    return event


def _platform_json(kind: str, record: dict[str, Any], time: object) -> Event:
    event = Event(timestamp=microseconds(time), properties={"faas.event": kind})
    request = record.pop("requestId", None)
    if type(request) is str and request:
        event.request_id = request
    metrics = record.get("metrics")
    if type(metrics) is dict:
        for _, member, name in _NUMBERS:
            if type(metrics.get(member)) in (int, float):
                told = _DURATIONS.get(kind, name) if member == "durationMs" else name
                event.properties[told] = metrics[member]
    for member, name in (("version", "faas.version"), ("runtimeVersion", "faas.runtime_version")):
        if type(record.get(member)) is str:
            event.properties[name] = record[member]
    tracing = record.get("tracing")
    if type(tracing) is dict and type(tracing.get("value")) is str and (root := _TRACE_ROOT.search(tracing["value"])):
        event.properties["xray_trace_id"] = root[1]
    status = record.get("status")
    if type(status) is str:
        event.properties["faas.status"] = status
    failed = type(status) is str and status in ("failure", "error", "timeout")
    if failed:
        cause = record.get("errorType")
        event.properties["error.type"] = cause if type(cause) is str else status
    if kind == "platform.start":
        event.event_type = "invocation_start"
    elif kind == "platform.report":
        event.event_type = "invocation_end"
    elif failed:
        event.event_type = "error"
    event.properties["record"] = record
    return event
