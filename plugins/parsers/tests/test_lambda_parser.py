from __future__ import annotations

import json

import pytest

from vectadb_agent_parsers import LambdaParser

REQUEST = "79b4f56e-95b1-4643-9700-2807f4e68189"
PARSER = LambdaParser(LambdaParser.Config(type="lambda"))


def test_start_and_end(parse_one):
    start = parse_one(PARSER, f"START RequestId: {REQUEST} Version: $LATEST\n")
    assert (start.event_type, start.request_id) == ("invocation_start", REQUEST)
    assert start.properties == {"faas.version": "$LATEST"}
    end = parse_one(PARSER, f"END RequestId: {REQUEST}\n")
    assert (end.event_type, end.request_id, end.properties) == ("invocation_end", REQUEST, {})


def test_the_report_belongs_to_its_request_and_ends_nothing(parse_one):
    event = parse_one(
        PARSER,
        f"REPORT RequestId: {REQUEST}\tDuration: 3.5 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 66 MB\tInit Duration: 130.05 ms\t\n"
        "XRAY TraceId: 1-5e34a614-10bdxmplf1fb44f07bc535a1\tSegmentId: 07f5xmpl2d1f6f85\tSampled: true\t\n",
    )
    assert (event.event_type, event.request_id, event.trace_id) == ("log", REQUEST, None)
    assert event.properties == {
        "faas.duration_ms": 3.5,
        "faas.billed_duration_ms": 4,
        "faas.memory_mb": 128,
        "faas.max_memory_used_mb": 66,
        "faas.init_duration_ms": 130.05,
        "xray_trace_id": "1-5e34a614-10bdxmplf1fb44f07bc535a1",
    }


def test_a_report_of_a_failure(parse_one):
    text = f"REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tStatus: error\tError Type: Runtime.ExitError\n"
    event = parse_one(PARSER, text)
    assert event.event_type == "log"
    assert event.properties == {
        "faas.duration_ms": 3000.0,
        "faas.status": "error",
        "error.type": "Runtime.ExitError",
    }


def test_init_lines(parse_one):
    event = parse_one(PARSER, "INIT_START Runtime Version: python:3.12.v18\tRuntime Version ARN: arn:aws:x\n")
    assert event.event_type == "log"
    assert event.properties["faas.runtime_version"] == "python:3.12.v18"
    event = parse_one(PARSER, "INIT_REPORT Init Duration: 9999.01 ms\tPhase: init\tStatus: timeout\n")
    assert event.event_type == "error"
    assert event.properties["error.type"] == "timeout"
    assert event.properties["faas.init_duration_ms"] == 9999.01


def test_failures_of_the_platform(parse_one):
    event = parse_one(PARSER, f"2026-01-01T00:00:03.000Z {REQUEST} Task timed out after 3.01 seconds\n\n")
    assert (event.event_type, event.request_id) == ("error", REQUEST)
    assert event.timestamp == 1_767_225_603_000_000
    assert event.properties["error.type"] == "timeout"
    assert event.properties["message"] == "Task timed out after 3.01 seconds"
    event = parse_one(PARSER, f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\n")
    assert (event.event_type, event.request_id) == ("error", REQUEST)
    assert event.properties["error.type"] == "Runtime.ExitError"
    event = parse_one(PARSER, f"RequestId: {REQUEST} Process exited before completing request\n")
    assert event.event_type == "error"


def test_framed_messages(parse_one):
    event = parse_one(PARSER, f"[WARNING]\t2026-01-01T00:00:00.123Z\t{REQUEST}\tslow\tsession_id=s1 \n")
    assert (event.event_type, event.request_id, event.session_id) == ("log", REQUEST, "s1")
    assert event.timestamp == 1_767_225_600_123_000
    assert event.properties == {"level": "WARNING", "message": "slow\tsession_id=s1 "}


def test_a_framed_traceback(parse_one):
    text = (
        f"[ERROR]\t2026-01-01T00:00:00.123Z\t{REQUEST}\tfailed\n"
        "Traceback (most recent call last):\n"
        '  File "/var/task/app.py", line 1, in f\n'
        "    return x[0]\n"
        "IndexError: list index out of range\n"
    )
    event = parse_one(PARSER, text)
    assert event.event_type == "error"
    assert event.properties["error.type"] == "IndexError"
    assert event.properties["error.message"] == "list index out of range"
    assert event.properties["message"].startswith("failed\nTraceback")


@pytest.mark.parametrize("newline", ["\n", "\r"])
def test_an_exception_that_leaves_the_handler(parse_one, newline):
    text = newline.join(
        [
            "[ERROR] KeyError: 'x'",
            "Traceback (most recent call last):",
            '\xa0\xa0File "/var/task/app.py", line 3, in handler',
            '\xa0\xa0\xa0\xa0return event["x"]',
        ]
    )
    event = parse_one(PARSER, text)
    assert event.event_type == "error"
    assert event.properties["error.type"] == "KeyError"
    assert event.properties["message"] == "'x'"


def test_node_frames(parse_one):
    event = parse_one(PARSER, f"2026-01-01T00:00:00.123Z\t{REQUEST}\tERROR\tboom\n")
    assert (event.event_type, event.request_id) == ("error", REQUEST)
    assert event.properties == {"level": "ERROR", "message": "boom"}
    assert parse_one(PARSER, "2026-01-01T00:00:00.123Z\tundefined\tINFO\tcold\n").request_id is None


def test_runtime_json(parse_one):
    members = {
        "timestamp": "2026-01-01T00:00:00Z",
        "level": "ERROR",
        "message": "failed",
        "logger": "root",
        "requestId": REQUEST,
        "errorType": "KeyError",
        "errorMessage": "'x'",
        "stackTrace": ["  File ..."],
    }
    event = parse_one(PARSER, json.dumps(members))
    assert (event.event_type, event.request_id, event.timestamp) == ("error", REQUEST, 1_767_225_600_000_000)
    assert event.properties == {
        "level": "ERROR",
        "message": "failed",
        "logger": "root",
        "stackTrace": ["  File ..."],
        "error.type": "KeyError",
        "error.message": "'x'",
    }


@pytest.mark.parametrize(
    ("kind", "record", "event_type"),
    [
        ("platform.start", {"version": "$LATEST"}, "invocation_start"),
        ("platform.runtimeDone", {"status": "success"}, "log"),
        ("platform.runtimeDone", {"status": "error", "errorType": "Function.X"}, "error"),
        (
            "platform.report",
            {"status": "success", "metrics": {"durationMs": 1.5, "memorySizeMB": 128}},
            "invocation_end",
        ),
        ("platform.initStart", {}, "log"),
    ],
)
def test_platform_json(parse_one, kind, record, event_type):
    text = json.dumps({"time": "2026-01-01T00:00:00Z", "type": kind, "record": {"requestId": REQUEST, **record}})
    event = parse_one(PARSER, text)
    assert (event.event_type, event.request_id, event.timestamp) == (event_type, REQUEST, 1_767_225_600_000_000)
    assert event.properties["faas.event"] == kind
    if "metrics" in record:
        assert event.properties["faas.duration_ms"] == 1.5
        assert event.properties["faas.memory_mb"] == 128
    if "errorType" in record:
        assert event.properties["error.type"] == "Function.X"


@pytest.mark.parametrize(
    "text",
    [
        "START of something",
        "START RequestId: \n",
        "END",
        "[INFO] plain\n",
        "[ERROR] no type here",
        '{"level": "INFO", "message": "requestId"}',
        '{"requestId": 3, "level": "INFO"}',
        "REPORTED",
        "2026-01-01 text",
        "",
    ],
)
def test_other_lines_are_left_alone(block, text):
    assert PARSER.parse(block(text)) is None


def test_the_end_of_an_invocation_ends_the_block_that_is_open(join):
    from vectadb_agent_parsers import OpenAIAgentsParser

    parsers = [
        LambdaParser(LambdaParser.Config(type="lambda")),
        OpenAIAgentsParser(OpenAIAgentsParser.Config(type="openai_agents")),
    ]
    end, start = "END RequestId: 79b4f56e-95b1-4643-9700-2807f4e68189\n", "START RequestId: 8f507cfc-1111 Version: 1\n"
    blocks = join(parsers, "Tool search returned one\n", "two\n", end, start, "three\n")
    assert [each.block.text for each in blocks] == ["Tool search returned one\ntwo\n", end, start, "three\n"]
