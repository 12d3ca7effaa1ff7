"""Record what the logger of Powertools for AWS Lambda (Python) prints, beside what it was given.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. Handlers are called with a context as a Lambda gives one.
``truth.logs`` holds each record before formatting; there are no tools or models in this framework.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.update(
    _X_AMZN_TRACE_ID="Root=1-65f0c3a1-000000000000000000000001;Parent=0000000000000001;Sampled=0",
    AWS_LAMBDA_FUNCTION_NAME="agent",
    POWERTOOLS_TRACE_DISABLED="true",
)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import correlation_paths
from tape import LOG, Killed, Scenario, Tape, Truth, main

Handler = Callable[[Any, Any], Any]


class Heard(logging.Handler):
    """Keeps what was logged, before any formatting."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(logging.DEBUG)
        self.truth = truth
        self.request_id: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if not self.truth.tape.is_cut:
            raised = record.exc_info[1] if record.exc_info else None
            self.truth.logs.append(
                {
                    "level": record.levelname,
                    "message": record.msg if isinstance(record.msg, dict) else record.getMessage(),
                    "exception": None if raised is None else f"{type(raised).__name__}: {raised}",
                    "request_id": self.request_id,
                }
            )


def context(number: int) -> SimpleNamespace:
    return SimpleNamespace(
        function_name="agent",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:agent",
        aws_request_id=f"8f5d1c3a-0000-4000-8000-{number:012d}",
    )


def invoke(
    make: Callable[[Logger, Tape], Handler], *events: Any, level: str = "INFO", **settings: Any
) -> Callable[[Tape, Truth], None]:
    """Events handed to the handler one by one; what leaves it is printed as ``traceback`` does."""

    def play(tape: Tape, truth: Truth) -> None:
        service = f"{make.__name__}-service"
        logger = Logger(service=service, level=level, stream=sys.stdout, **settings)
        (printing,) = logging.getLogger(service).handlers
        emit = printing.emit

        def labelled(record: logging.LogRecord) -> None:
            said = (record.msg["event"],) if isinstance(record.msg, dict) and "event" in record.msg else ()
            with tape.labelled(*(("error", "log") if record.levelno >= logging.ERROR else LOG), *said):
                emit(record)

        printing.emit = labelled
        heard = Heard(truth)
        logging.getLogger(service).addHandler(heard)
        handler = make(logger, tape)
        for number, event in enumerate(events, 1):
            heard.request_id = context(number).aws_request_id
            run = truth.run("invocation", heard.request_id)
            try:
                handler(event, context(number))
            except Killed:
                raise
            except Exception as problem:
                truth.ended(run, f"{type(problem).__name__}: {problem}")
                truth.failed = True
                with tape.labelled("error"):
                    traceback.print_exc()
            else:
                truth.ended(run)

    return play


def levels(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.debug("detail of %s", event)
        logger.info("order received")
        logger.warning("slow")
        logger.error("order failed")
        logger.critical("giving up")

    return handler


def structured(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info({"event": "tool_call", "tool": "search", "arguments": {"query": "q", "limit": 3}})
        logger.info("tool finished", tool="search", result=[{"a": 1}, None, 2.5])
        logger.info("with extra", extra={"session_id": "s-1", "tokens": {"in": 5, "out": 7}})
        logger.info(["a", "list"])

    return handler


def keys(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, clear_state=True)
    def handler(event: Any, _context: Any) -> None:
        logger.append_keys(order=event["order"])
        logger.info("first")
        logger.remove_keys(["order"])
        logger.info("second")
        with logger.append_context_keys(tool="search"):
            logger.info("inside")

    return handler


def exceptions(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        try:
            event["missing"]
        except KeyError:
            logger.exception("no such key: %s", "missing")
        try:
            raise ConnectionError("cannot reach\n'db-1': {down}")
        except ConnectionError as problem:
            logger.error(problem, exc_info=True)

    return handler


def stack_trace(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        try:
            try:
                int("seven")
            except ValueError as problem:
                raise RuntimeError("the agent gave up") from problem
        except RuntimeError:
            logger.exception("with a stack_trace object", error="handled")

    return handler


def leaves(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("before", attempt=event["id"])
        if event["id"] == 1:
            raise TimeoutError("no reply after 3 s")

    return handler


def tricky(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("two\nlines\tand a tab, \"quotes\" 'single' {braces} back\\slash")
        logger.info("日本語 привет \u2028 end")
        logger.info('{"level": "ERROR", "message": "forged"}')
        logger.info("")
        print("a print between")
        logger.info("odd values", when=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), price=decimal.Decimal("1.5"))

    return handler


def logged_event(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context(log_event=True)
    def handler(event: Any, _context: Any) -> None:
        logger.info("done")

    return handler


def very_long(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("0123456789" * 2500)
        logger.info("rows", rows=[{"row": number, "text": "all is well"} for number in range(400)])

    return handler


def child(logger: Logger, _: Tape) -> Handler:
    helper = Logger(service=logger.service, child=True)

    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("parent")
        helper.info("child")

    return handler


def no_context(logger: Logger, _: Tape) -> Handler:
    def handler(event: Any, _context: Any) -> None:
        logger.info("without a Lambda context")

    return handler


def killed(logger: Logger, tape: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("working")
        if event["id"] == 2:
            print('{"level": "INFO", "loc', end="")
            tape.cut()

    return handler


def renamed(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.info("other field order and time", tool_name="lookup", tool_input={"order": 7})

    return handler


def utc_debug(logger: Logger, _: Tape) -> Handler:
    @logger.inject_lambda_context
    def handler(event: Any, _context: Any) -> None:
        logger.debug("model reply", model="scripted-1", input_tokens=120, output_tokens=30)
        logger.info("answer", answer="It takes\ntwo days.")

    return handler


GATEWAY = {"order": 7, "requestContext": {"requestId": "c-17"}}
SCENARIOS = {
    "levels": Scenario("each level, DEBUG on", invoke(levels, {"id": 1}, level="DEBUG")),
    "structured": Scenario("dict and list messages, keyword fields, extra", invoke(structured, {})),
    "keys": Scenario("correlation id, appended and removed keys, two invocations", invoke(keys, GATEWAY, {**GATEWAY, "order": 8}), held_out=True),
    "exceptions": Scenario("logger.exception; an exception as the message", invoke(exceptions, {}), held_out=True),
    "stack_trace": Scenario("exception with its cause and a stack_trace object", invoke(stack_trace, {}, serialize_stacktrace=True)),
    "leaves": Scenario("an exception leaves the handler, then a good invocation", invoke(leaves, {"id": 1}, {"id": 2}), held_out=True),
    "tricky": Scenario("quotes, other scripts, a forged JSON text, an empty message, a print", invoke(tricky, {})),
    "logged_event": Scenario("log_event=True prints the event", invoke(logged_event, {"a": ["b", {"c": "d\n'e'"}]}), held_out=True),
    "very_long": Scenario("a message of 25 KB, a field of 400 rows", invoke(very_long, {})),
    "child": Scenario("a child logger of the same service", invoke(child, {}), held_out=True),
    "no_context": Scenario("without inject_lambda_context", invoke(no_context, {})),
    "killed": Scenario("killed in the second invocation, in mid-line", invoke(killed, {"id": 1}, {"id": 2}), held_out=True),
    "renamed": Scenario("log_record_order, another date format, no location", invoke(renamed, {}, log_record_order=["message", "level"], datefmt="%m/%d/%Y %H:%M:%S", location=None)),
    "utc_debug": Scenario("UTC and RFC 3339 times; fields of a model call", invoke(utc_debug, {}, level="DEBUG", utc=True, use_rfc3339=True), held_out=True),
}  # fmt: skip

if __name__ == "__main__":
    main(
        "powertools", SCENARIOS, ["aws-lambda-powertools"],
        printed_call=lambda _text, _call: {"arguments": "absent", "result": "absent"},
        printed_run=lambda text, run: run["name"] in text,
        printed_model=lambda _text, _model: {"call": False, "tokens": False, "model": False},
    )  # fmt: skip
