"""The half of the platform's events that is held out: by somebody who had not seen the parser; do not tune on it.

From AWS's documentation (``PAGES``). ``function`` and ``extension`` events stand in a log group where an extension
forwards what the Telemetry API gives it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from documented import Documented

PAGES = {
    "AWS Lambda developer guide, Lambda Telemetry API Event schema reference": "2026-11",
    "AWS Lambda developer guide, Configuring JSON and plain text log formats": "2026-11",
    "AWS Lambda developer guide, Lambda Logs API": "2020-08-15",
}
Record = tuple[str, set[str]]
LOG = {"log"}
STARTS = {"invocation_start"}
ENDS = {"invocation_end"}


class Log:
    """Lines a few milliseconds apart, and the invocations that they are of."""

    def __init__(self, spaces: bool = False) -> None:
        self.told = Documented()
        self.records: list[Record] = []
        self.separators = (", ", ": ") if spaces else (",", ":")

    def now(self) -> str:
        return f"2026-04-01T23:59:{58 + len(self.records) // 100:02d}.{len(self.records) * 7 % 1000:03d}Z"

    def line(self, told: Any, types: set[str]) -> None:
        text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, separators=self.separators)
        self.records.append((text, types))

    def event(self, kind: str, types: set[str], record: Any) -> None:
        self.line({"time": self.now(), "type": kind, "record": record}, types)

    def start(self, request: str, error: str | None = None, **more: Any) -> None:
        self.told.run("invocation", request, error=error)
        self.told.failed = self.told.failed or error is not None
        self.event("platform.start", STARTS, {"requestId": request, **more})

    def report(self, request: str, metrics: dict[str, Any], **more: Any) -> None:
        self.event("platform.report", ENDS, {"requestId": request, "metrics": metrics, **more})


def ids(name: str, count: int) -> list[str]:
    """Request ids."""
    return [f"{sum(map(ord, name)):08x}-1111-4222-8333-{n:012x}" for n in range(1, count + 1)]


METRICS = {"billedDurationMs": 694, "durationMs": 693.92, "maxMemoryUsedMB": 84, "memorySizeMB": 128}


def managed_instances(log: Log) -> None:
    """Managed Instances: three invocations at once in one stream, reports with durationMs alone and their spans"""
    first, second, third = ids("managed_instances", 3)

    def says(request: str, message: Any) -> None:
        told = {"timestamp": log.now(), "level": "INFO", "requestId": request, "message": message}
        log.line(told, LOG)

    def ended(request: str, ms: float, **more: Any) -> None:
        spans = [{"name": "responseLatency", "start": log.now(), "durationMs": ms - 1}, {"name": "responseDuration", "start": log.now(), "durationMs": 0.25}]  # fmt: skip
        log.report(request, {"durationMs": ms}, status="success", spans=spans, **more)

    log.start(first, version="7")
    log.start(second, version="7")
    says(first, "order 1: {'state': 'new'}")
    says(second, {"order": 2, "requestId": "not-this-one"})
    log.start(third, version="7")
    ended(second, 12.5)
    says(first, "END RequestId: is what I print")
    ended(first, 20.01)
    says(third, "last")
    ended(third, 9.75)


def out_of_memory(log: Log) -> None:
    """status failure with its errorType; a suppressed init in the next invocation; a report without status"""
    first, second = ids("out_of_memory", 2)
    log.start(first, "Runtime.OutOfMemory", version="$LATEST")
    log.line(f"[INFO]\t{log.now()}\t{first}\tloading 2 GB", LOG)
    failed = {"status": "failure", "errorType": "Runtime.OutOfMemory"}
    log.event("platform.runtimeDone", {"error"}, {"requestId": first, **failed, "metrics": {"durationMs": 901.7}})
    log.report(first, {**METRICS, "maxMemoryUsedMB": 128}, **failed)
    log.start(second)
    init = {"initializationType": "on-demand", "phase": "invoke"}
    log.event(
        "platform.initStart",
        LOG,
        {**init, "functionName": "agent", "functionVersion": "$LATEST", "instanceMaxMemory": 128},
    )
    log.event("platform.initReport", LOG, {**init, "status": "success", "metrics": {"durationMs": 247.88}})
    log.report(second, METRICS)


def snap_start(log: Log) -> None:
    """A restore that fails, one that does well; spans in them; the report's restoreDurationMs; an init in phase snap-start"""
    (request,) = ids("snap_start", 1)
    place = {"functionName": "agent", "functionVersion": "3", "instanceId": "82561ce0-53dd-47d1-90e0-c8f5e063e62e", "instanceMaxMemory": 256}  # fmt: skip
    spans = [{"name": "someTimeSpan", "start": "2026-04-01T23:59:58.521Z", "durationMs": 80.0}]
    log.event(
        "platform.initStart",
        LOG,
        {"initializationType": "on-demand", "phase": "snap-start", **place, "runtimeVersion": "python:3.13.v30"},
    )
    log.event(
        "platform.initRuntimeDone",
        LOG,
        {"initializationType": "on-demand", "phase": "snap-start", "status": "success", "spans": spans},
    )
    log.event("platform.restoreStart", LOG, {**place, "runtimeVersion": "python:3.13.v30", "runtimeVersionArn": "arn"})
    bad = {"status": "error", "errorType": "Runtime.RestoreError"}
    log.event("platform.restoreRuntimeDone", {"error"}, {**bad, "spans": spans})
    log.event("platform.restoreReport", {"error"}, {**bad, "metrics": {"durationMs": 10_000.0}, "spans": spans})
    log.event("platform.restoreStart", LOG, place)
    log.event("platform.restoreRuntimeDone", LOG, {"status": "success"})
    log.event("platform.restoreReport", LOG, {"status": "success", "metrics": {"durationMs": 15.19}})
    log.start(
        request,
        version="3",
        tracing={"type": "X-Amzn-Trace-Id", "value": "Root=1-62e900b2-710d76f009d6e7785905449a;Sampled=0"},
    )
    log.report(request, {**METRICS, "restoreDurationMs": 15.19}, status="success")


def forwarded(log: Log) -> None:
    """What an extension forwards: function and extension events with texts and objects, logsDropped, subscription"""
    (request,) = ids("forwarded", 1)
    log.event(
        "platform.telemetrySubscription",
        LOG,
        {"name": "my-telemetry-extension", "state": "Subscribed", "types": ["platform", "function", "extension"]},
    )
    log.event(
        "platform.extension",
        LOG,
        {"events": ["INVOKE", "SHUTDOWN"], "name": "my-telemetry-extension", "state": "Ready"},
    )
    log.start(request, version="$LATEST")
    log.event("function", LOG, '[INFO] Hello world, I am a function! {"type":"platform.report"}\n')
    told = {"timestamp": log.now(), "level": "INFO", "requestId": request, "message": "Hello world, I am a function!"}
    log.event("function", LOG, told)
    log.event("extension", LOG, "[INFO] Hello world, I am an extension!")
    log.event("extension", LOG, {"timestamp": log.now(), "level": "DEBUG", "message": "flushed"})
    reason = "Some logs were dropped because the downstream consumer is slower than the logs production rate"
    log.event("platform.logsDropped", LOG, {"droppedBytes": 12345, "droppedRecords": 123, "reason": reason})
    log.event(
        "platform.runtimeDone",
        LOG,
        {"requestId": request, "status": "success", "metrics": {"durationMs": 140.0, "producedBytes": 16}},
    )
    log.report(request, METRICS, status="success")


def node_and_java(log: Log) -> None:
    """The function's lines as Node.js and Java write them in JSON: errors within message, AWSRequestId; a timeout"""
    first, second = ids("node_and_java", 2)
    log.start(first, version="$LATEST")
    log.line({"timestamp": log.now(), "level": "WARN", "requestId": first, "message": "retrying: 2 of 3"}, LOG)
    stack = ["ReferenceError: foo is not defined", "    at Runtime.handler (file:///var/task/index.mjs:8:3)"]
    log.line({"timestamp": log.now(), "level": "ERROR", "requestId": first, "message": {"errorType": "ReferenceError", "errorMessage": "foo is not defined", "stackTrace": stack}}, {"error"})  # fmt: skip
    log.report(first, METRICS, status="success")
    log.start(second, "timeout", version="$LATEST")
    log.line({"timestamp": log.now(), "level": "INFO", "message": "Grüße aus »Java«: {}", "logger": "com.example.Handler", "AWSRequestId": second}, LOG)  # fmt: skip
    log.line({"timestamp": log.now(), "level": "ERROR", "message": "java.lang.IllegalStateException: closed\n\tat com.example.Handler.run(Handler.java:31)", "AWSRequestId": second}, {"error"})  # fmt: skip
    log.event(
        "platform.runtimeDone", {"error"}, {"requestId": second, "status": "timeout", "metrics": {"durationMs": 3000.0}}
    )
    log.report(second, {**METRICS, "durationMs": 3000.0, "billedDurationMs": 3000}, status="timeout")


def other_order(log: Log) -> None:
    """Members in another order, spaces, members and a type that are new; end and fault of the older Logs API"""
    (request,) = ids("other_order", 1)
    log.told.run("invocation", request)
    tracing = {"value": "Root=1-5f;Parent=0e;Sampled=1", "type": "X-Amzn-Trace-Id", "spanId": "54565fb41ac79632"}
    log.line(
        {
            "type": "platform.start",
            "record": {"version": "$LATEST", "tracing": tracing, "requestId": request},
            "time": log.now(),
        },
        STARTS,
    )
    log.line(
        {
            "record": {"requestId": request, "note": "not documented"},
            "type": "platform.somethingNew",
            "time": log.now(),
        },
        LOG,
    )
    log.event("platform.fault", {"error", "log"}, f"RequestId: {request} Process exited before completing request")
    log.event("platform.end", {"log", "invocation_end"}, {"requestId": request})
    log.line({"record": {"status": "success", "metrics": {**METRICS, "initDurationMs": 397.68, "newMs": 1}, "requestId": request}, "time": log.now(), "type": "platform.report", "v": 2}, ENDS)  # fmt: skip


SCENARIOS: tuple[Callable[[Log], None], ...] = (
    managed_instances, out_of_memory, snap_start, forwarded, node_and_java, other_order,
)  # fmt: skip
