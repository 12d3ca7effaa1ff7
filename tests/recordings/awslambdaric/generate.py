"""Record what the Lambda runtime for Python writes around a handler's own output.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. The real ``awslambdaric.bootstrap.run`` loop invokes the
handlers; only the HTTP client of the Runtime API is scripted. Each scenario is recorded as:

- ``text``: ``[LEVEL]`` and tabs, to stdout (containers, local emulators);
- ``json``: ``AWS_LAMBDA_LOG_FORMAT=JSON``, to stdout;
- ``framed`` and ``framed_json``: the same through the telemetry descriptor of the managed runtimes.
  A frame is one CloudWatch record; here each ends in a newline, as prints between them do.

START, END and REPORT are the platform's, not the runtime's: ``../lambda_framing.py`` adds them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from awslambdaric import bootstrap, lambda_runtime_client
from tape import LOG, Scenario, Tape, Truth, main

ERROR = ("error",)
Handler = Callable[[Any, Any], Any]
logger = logging.getLogger("app")


class Finished(BaseException):
    """There is no further invocation."""


class Scripted(lambda_runtime_client.BaseLambdaRuntimeClient):
    """The Runtime API, without HTTP: hands out events, keeps what the runtime reports of them."""

    def __init__(self, events: list[Any], truth: Truth, first: int = 1) -> None:
        self.events, self.truth, self.count = iter(events), truth, first - 1
        self.run = -1

    def wait_next_invocation(self) -> lambda_runtime_client.InvocationRequest:
        event = next(self.events, Finished)
        if event is Finished:
            raise Finished
        self.count += 1
        request_id = f"8f5d1c3a-0000-4000-8000-{self.count:012d}"
        self.run = self.truth.run("invocation", request_id)
        return lambda_runtime_client.InvocationRequest(
            invoke_id=request_id,
            x_amzn_trace_id="Root=1-65f0c3a1-000000000000000000000001",
            invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:agent",
            deadline_time_in_ms="1900000000000",
            client_context=None,
            cognito_identity=None,
            tenant_id=None,
            content_type="application/json",
            event_body=json.dumps(event).encode(),
            invocation_id=None,
        )

    def post_invocation_result(self, invoke_id: str, result_data: Any, *_: Any) -> None:
        self.truth.ended(self.run)
        self.truth.answer = result_data if isinstance(result_data, str) else None

    def post_invocation_error(self, invoke_id: str, error_response_data: str, *_: Any) -> None:
        error = json.loads(error_response_data)
        self.truth.ended(self.run, f"{error['errorType']}: {error['errorMessage']}")
        self.truth.failed = True

    def post_init_error(self, error_response_data: dict[str, Any], *_: Any) -> None:
        self.truth.failed = True


class Heard(logging.Handler):
    """Keeps what the handler logged, before any formatting."""

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self.truth = truth

    def emit(self, record: logging.LogRecord) -> None:
        if not self.truth.tape.is_cut:
            raised = record.exc_info[1] if record.exc_info else None
            message = record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage()
            self.truth.logs.append(
                {
                    "level": record.levelname,
                    "logger": record.name,
                    "message": message,
                    "exception": None if raised is None else f"{type(raised).__name__}: {raised}",
                    "request_id": bootstrap._GLOBAL_AWS_REQUEST_ID,
                }
            )


@contextlib.contextmanager
def runtime(tape: Tape, log_format: str, framed: bool) -> Iterator[None]:
    """The runtime's module as it is loaded on a Lambda so configured; its sinks say on the tape what they print."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    streams = sys.stdout, sys.stderr
    os.environ.update(AWS_LAMBDA_LOG_FORMAT=log_format, AWS_LAMBDA_LOG_LEVEL="INFO")
    with tempfile.TemporaryFile() as frames:
        if framed:
            os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(os.dup(frames.fileno()))
        module = importlib.reload(bootstrap)
        sink = module.FramedTelemetryLogSink if framed else module.StandardLogSink
        log, log_error = sink.log, sink.log_error

        def labelled_log(self: Any, msg: str, frame_type: bytes | None = None) -> None:
            log(self, msg, frame_type)
            if framed:
                tape.write(msg if msg.endswith("\n") else msg + "\n")

        def labelled_error(self: Any, lines: list[str]) -> None:
            with tape.labelled(*ERROR):
                log_error(self, lines)

        def labelled_emit(emit: Callable[[Any, logging.LogRecord], None]) -> Callable[[Any, logging.LogRecord], None]:
            def emit_labelled(self: Any, record: logging.LogRecord) -> None:
                # A handler's own structured record may be taken for what it says it is.
                said = (record.msg["event"],) if isinstance(record.msg, dict) else ()
                with tape.labelled(*(("error", "log") if record.levelno >= logging.ERROR else LOG), *said):
                    emit(self, record)

            return emit_labelled

        sink.log, sink.log_error = labelled_log, labelled_error
        for handler in (module.LambdaLoggerHandler, module.LambdaLoggerHandlerWithFrameType):
            handler.emit = labelled_emit(handler.emit)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams
            root.handlers[:], level = before
            root.setLevel(level)
            os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)


def invoke(handler: Handler, *events: Any, name: str = "handler") -> Callable[[Tape, Truth, str, bool], None]:
    """Events handed to one handler by the runtime's own loop."""

    def play(tape: Tape, truth: Truth, log_format: str, framed: bool) -> None:
        app = types.ModuleType("app")
        app.handler = handler
        app.tape = tape
        sys.modules["app"] = app
        heard = Heard(truth)
        logger.addHandler(heard)
        try:
            with runtime(tape, log_format, framed), contextlib.suppress(Finished, SystemExit):
                bootstrap.run(f"app.{name}", Scripted(list(events), truth))
        finally:
            logger.removeHandler(heard)
            truth.answer = None

    return play


# ---------------------------------------------------------------------------------------------
# The handlers


def levels(event: Any, context: Any) -> Any:
    print("printed by the handler")
    logger.info("order %s received", event["id"])
    logger.warning("slow")
    logger.debug("not printed at this level")
    logger.error("order %s failed: %s", event["id"], {"code": 7})
    return {"ok": True}


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise KeyError("order: 'seven'\nsecond line of the message")


def raises(event: Any, context: Any) -> Any:
    logger.info("before")
    deep(2)


def chained(event: Any, context: Any) -> Any:
    try:
        deep(0)
    except KeyError as problem:
        raise RuntimeError("the agent gave up") from problem


def logs_exception(event: Any, context: Any) -> Any:
    try:
        deep(1)
    except KeyError:
        logger.exception("handled: %s", event)
    return "handled"


def multiline(event: Any, context: Any) -> Any:
    logger.info("line one\nline two\n\tindented\n\nafter a blank")
    print('{"printed": "json",\n "lines": 2}')
    logger.info('{"message": "a text of JSON", "nested": {"a": [1, 2]}}')
    return None


def tricky(event: Any, context: Any) -> Any:
    logger.info("quotes \" ' braces {a} brackets [ERROR] tab\there backslash \\n 日本語 привет")
    logger.warning("[ERROR]\t2024-01-01T00:00:00.000Z\tnot-an-id\tforged")
    logger.info("")
    logger.info("START RequestId: 0 Version: 1")
    return None


def structured(event: Any, context: Any) -> Any:
    logger.info({"event": "tool_call", "tool": "search", "arguments": {"query": "q"}})
    logger.info("with extra", extra={"tool": "search", "result": {"hits": [1, 2]}, "empty": ""})
    logger.error({"event": "error", "text": "it's {down}"})
    return None


def very_long(event: Any, context: Any) -> Any:
    logger.info("report: %s", "0123456789" * 800)
    print("\n".join(f"line {number} of the print" for number in range(200)))
    return None


def dies(event: Any, context: Any) -> Any:
    logger.info("working on %s", event)
    if event["id"] == 2:
        print("half a li", end="")
        sys.modules["app"].tape.cut()
    return None


def no_json(event: Any, context: Any) -> Any:
    logger.info("returns what JSON cannot hold")
    return {"when": {1, 2}}


def silent(event: Any, context: Any) -> Any:
    return "nothing was printed"


def fails_once(event: Any, context: Any) -> Any:
    if event["id"] == 1:
        raise TimeoutError
    logger.info("fine")
    return event


def exits(event: Any, context: Any) -> Any:
    logger.critical("the process leaves")
    sys.exit(3)


Play = Callable[[Tape, Truth, str, bool], None]

PLAYS: dict[str, tuple[str, Play, bool]] = {
    "levels": ("prints and log records of each level; two invocations", invoke(levels, {"id": 1}, {"id": 2}), False),
    "raises": ("an exception leaves the handler; its message has two lines", invoke(raises, {}), False),
    "chained": ("raise ... from: the runtime shows the last exception alone", invoke(chained, {}), True),
    "logs_exception": ("logger.exception: a traceback inside a log record", invoke(logs_exception, {"a": 1}), True),
    "multiline": ("messages of several lines; printed JSON; a text of JSON", invoke(multiline, {}), False),
    "tricky": ("tabs, quotes, other scripts, a forged header, an empty message", invoke(tricky, {}), True),
    "structured": ("dict messages and extra fields", invoke(structured, {}), False),
    "very_long": ("a log message of 8 KB; 200 printed lines", invoke(very_long, {}), True),
    "killed": (
        "the process is killed in its second invocation, in mid-line",
        invoke(dies, {"id": 1}, {"id": 2}),
        False,
    ),
    "no_json": ("the return value cannot be marshalled", invoke(no_json, {}), True),
    "no_handler": ("the named handler does not exist: an init error", invoke(silent, {}, name="missing"), False),
    "fails_once": (
        "an exception without a message, then a good invocation",
        invoke(fails_once, {"id": 1}, {"id": 2}),
        True,
    ),
    "no_output": ("nothing is printed at all", invoke(silent, {}), False),
    "exits": ("sys.exit in the handler", invoke(exits, {}), True),
}
FORMATS = {"text": ("TEXT", False), "json": ("JSON", False), "framed": ("TEXT", True), "framed_json": ("JSON", True)}


def scenario(play: Play, shows: str, held_out: bool, form: str) -> Scenario:
    log_format, framed = FORMATS[form]
    return Scenario(f"{shows} ({form})", lambda tape, truth: play(tape, truth, log_format, framed), held_out)


SCENARIOS = {
    f"{name}.{form}": scenario(play, shows, held_out, form)
    for name, (shows, play, held_out) in PLAYS.items()
    for form in FORMATS
}

if __name__ == "__main__":
    main(
        "awslambdaric", SCENARIOS, ["awslambdaric"],
        printed_call=lambda _text, _call: {"arguments": "absent", "result": "absent"},
        printed_run=lambda text, run: run["name"] in text,
        printed_model=lambda _text, _model: {"call": False, "tokens": False, "model": False},
    )  # fmt: skip
