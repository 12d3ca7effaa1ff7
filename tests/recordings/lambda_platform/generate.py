"""The platform's events in Lambda's JSON log format, true to AWS's documentation: scenario data makes log and truth.

This is the open half, by somebody who knew the parser; ``held_out.py`` is the other.

Sources: docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html (shapes, status words, example values) and
…/monitoring-cloudwatchlogs-log-level.html (at the default level INFO ``start`` and ``report`` alone are written, the
rest at DEBUG). The first was read whole in its public source (awsdocs/aws-lambda-developer-guide, without restore*),
the second as a search excerpt; restore's names follow the first page's table, its members those of init. Nothing here
was seen on AWS, and the author knew the parser. What the function's own lines look like is that of awslambdaric.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import held_out
from documented import Documented, write

PAGES = {
    "AWS Lambda developer guide, Lambda Telemetry API Event schema reference": "2022-07-01",
    "AWS Lambda developer guide, Log-level filtering": "2025",
}
SHOWS = {
    "two_invocations": "default level: start, the function's lines, report; a cold and a warm invocation",
    "all_events": "level DEBUG: init, spans, runtimeDone, extensions, subscription, dropped logs",
    "handler_fails": "the handler raises: runtimeDone with status error, report",
    "times_out": "status timeout in runtimeDone and report",
    "restored": "SnapStart: restoreStart, restoreRuntimeDone, restoreReport",
    "init_fails": "the initialisation fails, and again within the invocation",
    "look_alikes": "the function logs objects that look like the platform's",
}
Line = tuple[str, set[str]]


class Log:
    """Writes the lines of one scenario, a millisecond apart, and notes its invocations."""

    def __init__(self) -> None:
        self.told = Documented()
        self.lines: list[Line] = []

    def event(self, kind: str, taken_for: set[str], /, **record: Any) -> None:
        self.object({"time": self.now(), "type": f"platform.{kind}", "record": record}, taken_for)

    def says(self, request: str, level: str, message: Any, **more: Any) -> None:
        told = {"timestamp": self.now(), "level": level, "message": message, "logger": "app", "requestId": request}
        self.object(told | more, {"error"} if level == "ERROR" else {"log"})

    def object(self, told: dict[str, Any], types: set[str]) -> None:
        self.lines.append((json.dumps(told, ensure_ascii=False, separators=(",", ":")), types))

    def start(self, number: int, error: str | None = None) -> str:
        request = f"6d68ca91-49c9-448d-89b8-7ca3e6dc66{number:02x}"
        self.told.run("invocation", request, error=error)
        self.told.failed = self.told.failed or error is not None
        self.event("start", {"invocation_start"}, requestId=request, version="$LATEST", tracing=_tracing(number))
        return request

    def report(self, request: str, status: str = "success", error: str | None = None, **metrics: Any) -> None:
        told = {"durationMs": 693.92, "billedDurationMs": 694, "memorySizeMB": 128, "maxMemoryUsedMB": 84} | metrics
        failed = {} if error is None else {"errorType": error}
        self.event("report", {"invocation_end"}, requestId=request, metrics=told, status=status, **failed)

    def done(self, request: str, status: str = "success", error: str | None = None) -> None:
        failed = {} if error is None else {"errorType": error}
        spans = [{"name": "responseLatency", "start": self.now(), "durationMs": 23.02}]
        metrics = {"durationMs": 140.0, "producedBytes": 16}
        types = {"log"} if status == "success" else {"error"}
        self.event("runtimeDone", types, requestId=request, status=status, **failed, spans=spans, metrics=metrics)

    def now(self) -> str:
        return f"2025-11-03T10:00:00.{len(self.lines) + 1:03d}Z"


def _tracing(number: int) -> dict[str, str]:
    value = f"Root=1-62e900b2-710d76f009d6e7785905{number:04x};Parent=0efbd19962d95b05;Sampled=1"
    return {"spanId": "54565fb41ac79632", "type": "X-Amzn-Trace-Id", "value": value}


def _initialised(log: Log, kind: str = "on-demand", status: str = "success", phase: str = "init") -> None:
    told = {"initializationType": kind, "phase": phase}
    failed = {} if status == "success" else {"errorType": "Runtime.ExitError"}
    types = {"log"} if status == "success" else {"error"}
    log.event("initStart", {"log"}, **told, runtimeVersion="python:3.12.v18", runtimeVersionArn="arn:aws:lambda:x")
    log.event("initRuntimeDone", types, **told, status=status, **failed)
    log.event("initReport", types, **told, status=status, **failed, metrics={"durationMs": 125.33})


def two_invocations(log: Log) -> None:
    request = log.start(1)
    log.says(request, "INFO", "looking up {'order': 7}")
    log.says(request, "WARNING", {"note": "an object", "items": [1, None, "été 東京"]})
    log.report(request, initDurationMs=397.68)
    request = log.start(2)
    log.lines.append(("printed without a frame", {"log"}))
    log.report(request)


def all_events(log: Log) -> None:
    _initialised(log)
    log.event("extension", {"log"}, events=["INVOKE", "SHUTDOWN"], name="my-extension", state="Ready")
    log.event("telemetrySubscription", {"log"}, name="my-extension", state="Subscribed", types=["platform", "function"])
    request = log.start(3)
    log.says(request, "DEBUG", "working")
    log.done(request)
    log.report(request, initDurationMs=125.33)
    log.event("logsDropped", {"log"}, droppedBytes=12345, droppedRecords=123, reason="Consumer has fallen behind.")


def handler_fails(log: Log) -> None:
    request = log.start(4, "KeyError: 'x'")
    told = {"timestamp": log.now(), "level": "ERROR", "errorMessage": "'x'", "errorType": "KeyError"}
    frames = ['  File "/var/task/app.py", line 3, in handler\n    return event["x"]\n']
    log.object(told | {"requestId": request, "stackTrace": frames}, {"error"})
    log.done(request, "error", "KeyError")
    log.report(request, "error", "KeyError")
    log.report(log.start(5))


def times_out(log: Log) -> None:
    request = log.start(6, "timeout")
    log.says(request, "INFO", "waiting")
    log.done(request, "timeout")
    log.report(request, "timeout", durationMs=3000.0, billedDurationMs=3000)


def restored(log: Log) -> None:
    told = {"functionName": "agent", "functionVersion": "7", "instanceId": "i-1", "instanceMaxMemory": 128}
    log.event("restoreStart", {"log"}, **told, runtimeVersion="python:3.12.v18", runtimeVersionArn="arn:aws:lambda:x")
    log.event("restoreRuntimeDone", {"log"}, status="success")
    log.event("restoreReport", {"log"}, status="success", metrics={"durationMs": 15.19})
    log.report(log.start(7), restoreDurationMs=15.19)


def init_fails(log: Log) -> None:
    _initialised(log, "provisioned-concurrency", "error")
    request = log.start(8, "Runtime.ExitError")
    _initialised(log, "provisioned-concurrency", "error", "invoke")
    log.report(request, "error", "Runtime.ExitError")


def look_alikes(log: Log) -> None:
    request = log.start(9)
    log.says(request, "INFO", {"type": "platform.report", "record": {"requestId": "not-this"}})
    log.says(request, "INFO", '{"time":"x","type":"platform.start","record":{}}')
    log.object({"type": "platform.start", "note": "no record"}, {"log"})
    log.object({"message": 'the "platform.report" of last week'}, {"log"})
    log.report(request)


PLAYS = (two_invocations, all_events, handler_fails, times_out, restored, init_fails, look_alikes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write Lambda's documented platform events.")
    parser.add_argument("scenario", nargs="*", help=", ".join(SHOWS))
    known = [*SHOWS, *(play.__name__ for play in held_out.SCENARIOS)]
    wanted = parser.parse_args().scenario or known
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(known)}")
    for blind in held_out.SCENARIOS:
        if (name := blind.__name__) in wanted:
            lines = held_out.Log(spaces=name == "other_order")
            blind(lines)
            pages, shows = held_out.PAGES, blind.__doc__ or ""
            write("lambda_platform", name, shows, pages, lines.records, lines.told, held_out=True)
    for play in PLAYS:
        if (name := play.__name__) in wanted:
            log = Log()
            play(log)
            write("lambda_platform", name, SHOWS[name], PAGES, log.lines, log.told, held_out=False)


if __name__ == "__main__":
    main()
