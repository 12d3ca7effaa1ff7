"""Reading the recordings: what the judge takes for the truth."""

from benchmarks.accuracy import recordings
from benchmarks.accuracy.recordings import Recording


def _held_out(name: str) -> Recording:
    return next(each for each in recordings.read({"langchain"}) if each.held_out and each.name == name)


def test_each_format_has_an_open_half_and_one_held_out() -> None:
    halves: dict[str, set[bool]] = {}
    for recording in recordings.read():
        halves.setdefault(recording.framework, set()).add(recording.held_out)
    assert {framework for framework, found in halves.items() if found != {True, False}} == set()


def test_verbose_shows_neither_name_nor_arguments_of_a_tool_that_no_agent_runs_but_a_tool_messages_name() -> None:
    calls = _held_out("tools_without_agent.verbose").calls
    assert [call["name"] for call in calls] == ["get_weather", "now", "get_weather"]
    assert {(call["printed"]["name"], call["printed"]["arguments"]) for call in calls} == {("full", "absent")}


def test_a_question_that_is_never_answered_has_no_answer_though_the_one_before_had() -> None:
    assert _held_out("killed_nested.verbose").answer is None
    assert _held_out("conversational.verbose").answer == "You are Ana."


def test_named_agents_are_runs_within_one_another() -> None:
    runs = _held_out("supervisor.debug").runs
    assert [(run["name"], run["within"]) for run in runs] == [("supervisor", None), ("researcher", 0), ("writer", 0)]


def test_a_run_that_verbose_calls_none_is_not_told_by_its_name() -> None:
    assert [run["printed"] for run in _held_out("streamed_nested_async.verbose").runs] == [False, True, True]
    assert all(run["printed"] for run in _held_out("streamed_nested_async.debug").runs)
