"""What the langchain parser makes of real output, against the truth that LangChain's own callbacks told.

python plugins/parsers/tests/test_langchain_recordings.py           prints the accuracy, by format
python plugins/parsers/tests/test_langchain_recordings.py --write   writes the golden files anew
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent import Event, LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent_parsers import JsonParser, LambdaParser, LangChainParser, PythonLoggingParser

HERE = Path(__file__).parent
RECORDINGS = HERE.parents[2] / "tests" / "recordings"
GOLDEN = HERE / "golden" / "langchain"
NAMES = sorted(path.stem for path in (RECORDINGS / "langchain").glob("*.json"))
VERBOSE = [name for name in NAMES if name.endswith(".verbose")]
DEBUG = [name for name in NAMES if name.endswith(".debug")]


def load_framing() -> Any:
    spec = importlib.util.spec_from_file_location("lambda_framing", RECORDINGS / "lambda_framing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FRAMING = load_framing()
PARSERS = [
    LambdaParser(LambdaParser.Config(type="lambda")),
    LangChainParser(LangChainParser.Config(type="langchain")),
    PythonLoggingParser(PythonLoggingParser.Config(type="python_logging")),
    JsonParser(JsonParser.Config(type="json")),
]


def recording(name: str) -> dict[str, Any]:
    return json.loads((RECORDINGS / "langchain" / f"{name}.json").read_text())


def frame(stdout: str, request_id: str = "8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad") -> list[tuple[int, str]]:
    return FRAMING.frame(stdout, request_id=request_id, start_us=1_700_000_000_000_000)


def stream(name: str) -> LogStream:
    return LogStream("aws", "1", "eu-west-1", "/aws/lambda/f", name)


def joined(records: list[LogRecord], parsers: list[Any] = PARSERS) -> dict[LogStream, list[Event]]:
    """The events of each stream, in the order of their records, as the pipeline makes them."""
    joiner: Joiner[int] = Joiner(parsers)
    done = [(each.tags[0], each) for tag, record in enumerate(records) for each in joiner.add(record, tag, 0)]
    done += [(each.tags[0], each) for each in joiner.flush()]
    done.sort(key=lambda pair: (pair[0], int(pair[1].block.parts[0])))
    events: dict[LogStream, list[Event]] = {}
    for _, each in done:
        asked = parsers if each.owner is None else [parsers[each.owner]]
        for parser in asked:
            made = parser.parse(each.block)
            if made is not None:
                assert made[0].raw == each.block.text
                events.setdefault(each.block.stream, []).extend(made)
                break
        else:
            events.setdefault(each.block.stream, []).append(Event(properties={"unclaimed": each.block.text}))
    return events


def records_of(lines: list[tuple[int, str]], where: LogStream) -> list[LogRecord]:
    return [LogRecord(where, str(number), time, text) for number, (time, text) in enumerate(lines)]


def events_of(name: str) -> list[Event]:
    where = stream(name)
    return joined(records_of(frame(recording(name)["stdout"]), where))[where]


def of_langchain(events: list[Event]) -> list[Event]:
    return [event for event in events if event.properties.get("framework") == "langchain"]


def told(events: list[Event], *, types: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The events in the truth's words."""
    words: list[tuple[Any, ...]] = []
    for event in events:
        if event.event_type not in types:
            continue
        properties = event.properties
        if event.event_type == "tool_call":
            words.append(("call", properties["gen_ai.tool.name"], properties["gen_ai.tool.call.arguments"]))
        elif event.event_type == "tool_result" and "gen_ai.tool.call.result" in properties:
            words.append(("result", properties["gen_ai.tool.call.result"]))
        elif event.event_type == "agent_finish":
            words.append(("finish", properties["message"]))
        elif event.event_type == "error":
            words.append(("error", properties["error.type"], properties["message"]))
        elif event.event_type == "llm_end" and "error.type" not in properties:
            words.append(
                (
                    "llm",
                    properties.get("message", ""),
                    properties.get("gen_ai.request.model"),
                    properties.get("gen_ai.usage.input_tokens"),
                    properties.get("gen_ai.usage.output_tokens"),
                )
            )
    return words


def text_of(output: Any) -> str:
    if isinstance(output, dict):
        return json.dumps(output, separators=(",", ":"))
    return output if isinstance(output, str) else "".join(block["text"] for block in output)


def verbose_truth(callbacks: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What verbose output shows of the truth, in its order."""
    words: list[tuple[Any, ...]] = []
    for told_ in callbacks:
        if told_["event"] == "agent_action":
            words.append(("call", told_["tool"], told_["tool_input"]))
        elif told_["event"] == "tool_end":
            words.append(("result", told_["output"]))
        elif told_["event"] == "agent_finish" and told_["log"]:
            # An answer that is LangChain's, not the model's, is not printed.
            words.append(("finish", text_of(told_["output"])))
    return words


def debug_truth(callbacks: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """What debug output shows of the truth: calls, results, errors and model calls, each in their order."""
    words: dict[str, list[tuple[Any, ...]]] = {"call": [], "result": [], "error": [], "llm": []}
    run = {told_["name"] for told_ in callbacks if told_["event"] == "tool_start"}
    for told_ in callbacks:
        if told_["event"] == "tool_start" and told_["name"] != "invalid_tool":
            if told_["inputs"] is not None and told_["parent_run_id"] is None:
                continue  # no model's reply tells of it, and of named arguments LangChain prints no start
            arguments = told_["input"].strip() if told_["inputs"] is None else told_["inputs"]
            words["call"].append(("call", told_["name"], arguments))
        elif told_["event"] == "tool_end":
            words["result"].append(("result", told_["output"].strip()))
        elif told_["event"].endswith("_error"):
            words["error"].append(("error", told_["error_type"], told_["error"]))
        elif told_["event"] == "llm_end":
            # What is asked of a tool that does not exist, or is the answer's schema, is told all the same.
            asked = [each for each in told_["tool_calls"] if each["name"] not in run]
            words["call"] += [("call", each["name"], each["args"]) for each in asked]
            words["llm"].append(
                ("llm", text_of(told_["text"]), told_["model"], told_["input_tokens"], told_["output_tokens"])
            )
    return words


@pytest.mark.parametrize("name", VERBOSE)
def test_verbose_output_tells_every_call_result_and_answer_in_order(name: str) -> None:
    told_ = told(of_langchain(events_of(name)), types=("tool_call", "tool_result", "agent_finish", "error"))
    assert told_ == verbose_truth(recording(name)["truth"]["callbacks"])


@pytest.mark.parametrize("name", VERBOSE)
def test_verbose_runs_begin_and_end(name: str) -> None:
    recorded = recording(name)
    events = of_langchain(events_of(name))
    printed = [event for event in events if event.event_type in ("agent_start", "chain_start")]
    entered = [line for line in recorded["stdout"].split("\n") if line.startswith("\x1b[1m> Entering new ")]
    assert [event.properties["name"] for event in printed] == [line.split(" ")[3] for line in entered]
    ended = [event for event in events if event.event_type in ("agent_end", "chain_end")]
    assert len(ended) == recorded["stdout"].count("\x1b[1m> Finished chain.\x1b[0m")
    assert all(event.properties["unnamed"] is True for event in ended)
    finishes = [told_ for told_ in recorded["truth"]["callbacks"] if told_["event"] == "agent_finish"]
    assert len(finishes) == sum(event.event_type == "agent_end" for event in events)


@pytest.mark.parametrize("name", DEBUG)
def test_debug_output_tells_every_call_result_error_and_reply(name: str) -> None:
    events = of_langchain(events_of(name))
    truth = debug_truth(recording(name)["truth"]["callbacks"])
    calls = told(events, types=("tool_call",))
    # Calls are told by the model's reply, so those of one reply stand in its order, not in that of their starts.
    assert sorted(map(repr, calls)) == sorted(map(repr, truth["call"]))
    assert told(events, types=("tool_result",)) == truth["result"]
    assert told(events, types=("error",)) == truth["error"]
    assert told(events, types=("llm_end",)) == truth["llm"]


@pytest.mark.parametrize("name", DEBUG)
def test_debug_runs_begin_and_end(name: str) -> None:
    callbacks = recording(name)["truth"]["callbacks"]
    events = of_langchain(events_of(name))
    started = [event.properties["name"] for event in events if event.event_type in ("agent_start", "chain_start")]
    ended = [event.properties["name"] for event in events if event.event_type in ("agent_end", "chain_end")]
    assert started == [told_["name"] for told_ in callbacks if told_["event"] == "chain_start"]
    assert ended == [told_["name"] for told_ in callbacks if told_["event"] in ("chain_end", "chain_error")]


@pytest.mark.parametrize("name", [name for name in NAMES if recording(name)["truth"]["raised"]])
def test_a_run_that_dies_is_an_error(name: str) -> None:
    raised = recording(name)["truth"]["raised"]
    errors = [event for event in events_of(name) if event.event_type == "error"]
    assert errors
    last = errors[-1].properties
    assert last["error.type"].rpartition(".")[2] == raised["error_type"]
    assert last["error.message"].split("\n")[0] == raised["error"].split("\n")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_lambda_frame_and_the_text_survive(name: str) -> None:
    stdout = recording(name)["stdout"]
    events = events_of(name)
    texts = [event.raw or event.properties.get("unclaimed", "") for event in events]
    platform = [
        text for text in texts if text.startswith(("START RequestId: ", "END RequestId: ", "REPORT RequestId: "))
    ]
    assert len(platform) == 3
    printed = "".join(text for text in texts if text not in platform)
    # A traceback goes on behind the further lines of an inner exception's message, which are lines of their own.
    assert Counter(printed.split("\n")) == Counter(stdout.split("\n"))
    assert printed == stdout or "Traceback" in stdout


def test_eight_interleaved_streams_are_told_apart() -> None:
    names = [name for name in NAMES if "tricky" in name or "nested" in name][:8]
    assert len(names) == 8
    merged = FRAMING.interleave({name: frame(recording(name)["stdout"]) for name in names}, seed=7)
    counts = dict.fromkeys(names, 0)
    records = []
    for name, time, text in merged:
        records.append(LogRecord(stream(name), str(counts[name]), time, text))
        counts[name] += 1
    events = joined(records)
    for name in names:
        assert [portrait(event) for event in events[stream(name)]] == [portrait(event) for event in events_of(name)]


@pytest.mark.parametrize("foreign", [
    "[INFO]\t2026-01-01T00:00:00.123Z\t8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad\tHTTP Request: POST https://x\n",
    "2026-01-01 00:00:00,123 INFO httpx: HTTP Request: POST https://x\n",
    "INFO:httpx:HTTP Request: POST https://x\n",
    '{"timestamp": "2026-01-01T00:00:00Z", "level": "INFO", "message": "cache hit"}\n',
])  # fmt: skip
@pytest.mark.parametrize("name", ["react_two_tools.verbose", "tools_two_tools.verbose", "react_two_tools.debug"])
def test_a_log_line_anywhere_in_the_output_changes_nothing(name: str, foreign: str) -> None:
    lines = frame(recording(name)["stdout"])
    whole = [portrait(event) for event in of_langchain(events_of(name))]
    where = stream(name)
    for at in range(1, len(lines) - 2, 7 if name.endswith("debug") else 1):
        disturbed = [*lines[:at], (lines[at][0], foreign), *lines[at:]]
        events = joined(records_of(disturbed, where))[where]
        assert [portrait(event) for event in of_langchain(events)] == whole, lines[at - 1 : at + 1]
        assert sum(event.raw == foreign for event in events) == 1


@pytest.mark.parametrize("name", VERBOSE)
def test_output_in_one_record_gives_the_same_events(name: str) -> None:
    where = stream(name)
    stdout = recording(name)["stdout"]
    events = joined([LogRecord(where, "0", 0, stdout)])[where]
    assert [portrait(event) for event in of_langchain(events)] == [
        portrait(event) for event in of_langchain(events_of(name))
    ]


def test_records_without_their_newline_give_the_same_events() -> None:
    where = stream("stripped")
    for name in NAMES:
        lines = [(time, text.removesuffix("\n")) for time, text in frame(recording(name)["stdout"])]
        events = joined(records_of(lines, where))[where]
        assert [portrait(event) for event in of_langchain(events)] == [
            portrait(event) for event in of_langchain(events_of(name))
        ], name


def portrait(event: Event) -> dict[str, Any]:
    """An event as the golden files show it: long texts by their beginning and a digest."""

    def short(value: Any) -> Any:
        if isinstance(value, str) and len(value) > 200:
            return f"{value[:100]}… {len(value)} {hashlib.sha256(value.encode()).hexdigest()[:12]}"
        if isinstance(value, dict):
            return {key: short(member) for key, member in value.items()}
        return [short(member) for member in value] if isinstance(value, list) else value

    shown: dict[str, Any] = {"event_type": event.event_type}
    if event.request_id is not None:
        shown["request_id"] = event.request_id
    return {**shown, **short(event.properties)}


def golden_text(name: str) -> str:
    return "".join(json.dumps(portrait(event), ensure_ascii=False) + "\n" for event in events_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_golden_files(name: str) -> None:
    assert golden_text(name) == (GOLDEN / f"{name}.jsonl").read_text()


def print_accuracy() -> None:
    for kind, names in (("verbose", VERBOSE), ("debug", DEBUG)):
        total: Counter[str] = Counter()
        right: Counter[str] = Counter()
        exact = 0
        for name in names:
            callbacks = recording(name)["truth"]["callbacks"]
            if kind == "verbose":
                truth = verbose_truth(callbacks)
            else:
                truth = [word for words in debug_truth(callbacks).values() for word in words]
            types = ("tool_call", "tool_result", "error", "agent_finish" if kind == "verbose" else "llm_end")
            found = Counter(map(repr, told(of_langchain(events_of(name)), types=types)))
            exact += found == Counter(map(repr, truth))
            for word in truth:
                total[word[0]] += 1
                if found[repr(word)]:
                    found[repr(word)] -= 1
                    right[word[0]] += 1
            for word in +found:
                print(f"  {name}: not in the truth: {word[:200]}")
        shares = ", ".join(f"{word} {right[word]}/{count}" for word, count in sorted(total.items()))
        print(f"{kind}: {exact}/{len(names)} recordings exact; {shares}")


if __name__ == "__main__":
    if "--write" in sys.argv:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (GOLDEN / f"{name}.jsonl").write_text(golden_text(name))
    print_accuracy()
