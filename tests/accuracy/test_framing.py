"""Recordings become records without a line lost or moved, each inside its invocation."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.framing import framed, in_streams, invocations, is_one_run, served
from benchmarks.accuracy.recordings import Recording, read

NOTHING = Recording("strands", "x", False, "", None, [], [], [], None)
START = 1_700_000_000_000_000


def invocation(name: str) -> dict[str, object]:
    return {"kind": "invocation", "name": name, "within": None, "printed": True}


@given(st.text(alphabet="ab \n\r\u2028"), st.sampled_from(["strands", "bedrock", "awslambdaric"]), st.booleans())
def test_each_line_is_a_record_in_its_place(text: str, framework: str, two: bool) -> None:
    runs = [invocation("a a"), invocation("b b")] if two else []
    recording = dataclasses.replace(NOTHING, framework=framework, text=text, runs=runs)
    records = framed(recording, START)
    lines = [(message, line) for _, message, line in records if line is not None]
    assert "".join(message for message, _ in lines) == text
    assert [line for _, line in lines] == list(range(len(lines)))
    times = [when for when, _, _ in records]
    assert times == sorted(times)
    assert all(when % 1_000 == 0 for when in times)
    platform = [message.split()[0] for _, message, line in records if line is None]
    assert platform == ["START", "END", "REPORT"] * (0 if framework == "bedrock" else len(invocations(recording)))


def test_a_service_prints_its_runs_one_after_the_other() -> None:
    runs = [dataclasses.replace(NOTHING, name=name, text="a\n\n\x1b[1;3mb\nc\x1b[0m\n") for name in "xyz"]
    records = served(runs, START)
    by_run = [[message for _, message, key in records if key == run.key] for run in runs]
    assert by_run[0] == by_run[1] == ["a", "\x1b[1;3mb", "c\x1b[0m"]
    assert (by_run[2][:2], by_run[2][-1]) == (
        ["a", "Traceback (most recent call last):"],
        "TimeoutError: gave up after 60 s",
    )
    times = [when for when, _, _ in records]
    assert times == sorted(times)
    assert records[-1][0] - START < 15 * 60_000_000  # else the last resort's windows tell the runs apart


def test_what_is_not_one_run_of_a_service_is_left_out() -> None:
    agent = {"kind": "agent", "name": "a", "within": None, "printed": True}
    recording = dataclasses.replace(NOTHING, text="x\n", runs=[agent, agent | {"within": 0}])
    assert is_one_run(recording)
    assert not is_one_run(dataclasses.replace(recording, runs=[agent, agent]))
    assert not is_one_run(dataclasses.replace(recording, framework="powertools"))
    assert not is_one_run(dataclasses.replace(recording, text=""))
    tree = "**********\nTrace: query\n    |_query -> 0.1 seconds\n**********\n"
    assert is_one_run(dataclasses.replace(recording, text=f"Trace: none\n{tree}"))
    assert not is_one_run(dataclasses.replace(recording, text=tree + tree))


def test_a_killed_process_prints_no_further_runs() -> None:
    killed = {"kind": "agent", "name": "a", "within": None, "printed": True, "interrupted": True}
    runs = [dataclasses.replace(NOTHING, name=name) for name in ("a", "killed_nested", *"bcdef")]
    runs.append(dataclasses.replace(NOTHING, name="g", runs=[killed]))
    streams = [[run.name for run in stream] for stream in in_streams(runs)]
    assert streams == [["a", "b", "c", "d", "e", "killed_nested"], ["f", "g"]]
    assert [[run.name for run in stream] for stream in in_streams(runs[-1:] * 2)] == [["g"], ["g"]]


def test_a_second_invocation_begins_where_it_is_first_named() -> None:
    runs = [invocation("id-1"), invocation("id-2")]
    recording = dataclasses.replace(NOTHING, framework="powertools", text="id-1\nx\nid-2\ny\n", runs=runs)
    messages = [message.split(" Version")[0].strip() for _, message, _ in framed(recording, START)]
    assert [message for message in messages if not message.startswith("REPORT")] == [
        *("START RequestId: id-1", "id-1", "x", "END RequestId: id-1"),
        *("START RequestId: id-2", "id-2", "y", "END RequestId: id-2"),
    ]


def test_every_recording_has_a_label_for_each_line() -> None:
    for recording in read():
        if recording.lines is not None:
            lines = [line for _, _, line in framed(recording, START) if line is not None]
            assert len(lines) == len(recording.lines), recording.key


def test_request_ids_are_one_recordings_own() -> None:
    texts = [recording for recording in read({"awslambdaric"}) if recording.runs]
    ids = [id_ for recording in texts for id_ in invocations(recording)]
    assert len(ids) == len(set(ids))
    assert all(invocations(each)[0] in each.text for each in texts if each.runs[0]["printed"])


def test_langchains_failed_model_call_is_a_call() -> None:
    (recording,) = (each for each in read({"langchain"}) if each.name == "llm_raises.debug")
    assert [model["printed"]["model"] for model in recording.models] == [True, False]


def test_an_unknown_framework_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["accuracy", "--framework", "langchian"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "langchain" in capsys.readouterr().err
