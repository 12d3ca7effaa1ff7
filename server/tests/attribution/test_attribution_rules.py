import uuid

import msgspec
import pytest

from vectadb_server import ids
from vectadb_server.attribution import (
    INVOCATION_CAP,
    RUN_CAP,
    Affected,
    Boundaries,
    Need,
    affected,
    attribute,
    boundary_of,
    breaks_needed,
    candidate_traces,
    explicit,
    given_trace,
    needed,
    needed_around,
)
from vectadb_server.model import Event, Source

MINUTE = 60_000_000
T0 = 1_767_225_600_000_000  # starts a quarter of an hour
STREAM = Source(system="cloudwatch", account="1", region="r", log_group="g", log_stream="s")
KEY = STREAM.stream_key()


def at(minute, kind="log", *, source=STREAM, event_id=None, **fields):
    us = T0 + round(minute * MINUTE)
    event_id = event_id or f"{kind}@{minute}"
    if source is not None:
        source = Source(**{name: getattr(source, name) for name in source.__struct_fields__})
        source.timestamp, source.log_id = us, event_id
    return Event(event_id=event_id, timestamp=us, event_type=kind, source=source, **fields)


def attributed(*events, **options):
    """``(trace, basis)`` of each event by its id, all known at once."""
    attribute(events, boundaries(*events), **options)
    return {event.event_id: (event.trace, event.basis) for event in events}


def boundaries(*events):
    return Boundaries(b for event in events if (b := boundary_of(event)) is not None)


def request(name, account="1"):
    return ids.uuid5(ids.TRACES, ["request_id", account, name])


class TestExplicit:
    def test_trace_then_request_then_session(self):
        everything = {"trace_id": "t", "request_id": "r", "session_id": "s"}
        assert explicit(at(0, **everything)) == (given_trace("t"), "trace_id")
        del everything["trace_id"]
        assert explicit(at(0, **everything)) == (request("r"), "request_id")
        del everything["request_id"]
        assert explicit(at(0, **everything)) == (ids.uuid5(ids.TRACES, ["session_id", "1", "s"]), "session_id")
        assert explicit(at(0, agent_id="a")) is None

    @pytest.mark.parametrize(
        "spelling", ["0123ABCD-0123-0123-0123-0123456789AB", "0123abcd-0123-0123-0123-0123456789ab", "0123abcd" * 4]
    )
    def test_a_uuid_as_trace_id_is_itself_in_any_spelling(self, spelling):
        assert given_trace(spelling) == str(uuid.UUID(spelling))

    @pytest.mark.parametrize("name", ["t", "", "x" * 36, "1_23abcd" * 4, "0123abcd" * 4 + "\n"])
    def test_another_trace_id_is_hashed(self, name):
        assert given_trace(name) == ids.uuid5(ids.TRACES, ["trace_id", name])

    def test_a_request_id_is_one_trace_in_its_account_and_another_elsewhere(self):
        group = Source(system="cloudwatch", account="1", region="r2", log_group="other", log_stream="s2")
        abroad = Source(account="2", log_stream="s")
        ours, elsewhere, theirs, direct = (
            explicit(at(0, request_id="r", source=source)) for source in (STREAM, group, abroad, None)
        )
        assert ours == elsewhere
        assert len({ours, theirs, direct}) == 3


class TestWindows:
    def test_an_invocation_gives_the_trace_of_its_request(self):
        got = attributed(
            at(0),
            at(1, "invocation_start", request_id="r"),
            at(2),
            at(3, "invocation_end"),
            at(4),
        )
        assert got["log@2"] == (request("r"), "invocation")
        assert got["invocation_start@1"] == (request("r"), "request_id")
        assert got["invocation_end@3"] == (request("r"), "invocation")
        assert got["log@0"][1] == got["log@4"][1] == "time_window"

    def test_an_invocation_without_its_end_lasts_until_its_cap_or_the_next(self):
        got = attributed(
            at(0, "invocation_start", request_id="r"),
            at(15),
            at(15.001),
            at(20, "invocation_start", request_id="q"),
            at(21),
        )
        assert got["log@15"] == (request("r"), "invocation")
        assert got["log@15.001"][1] == "time_window"
        assert got["log@21"] == (request("q"), "invocation")

    def test_an_invocation_start_with_a_trace_id_still_names_the_request(self):
        got = attributed(at(0, "invocation_start", request_id="r", trace_id="t"), at(1))
        assert got["log@1"] == (request("r"), "invocation")

    def test_the_outermost_run_makes_the_trace(self):
        got = attributed(
            at(0, "agent_start"),
            at(1),
            at(2, "agent_start"),
            at(3),
            at(4, "agent_end"),
            at(5),
            at(6, "agent_end"),
            at(7),
        )
        run = (ids.uuid5(ids.TRACES, ["run", "agent_start@0"]), "run")
        assert got.pop("log@7")[1] == "time_window"
        assert set(got.values()) == {run}

    def test_a_run_without_its_end_lasts_until_its_cap(self):
        got = attributed(at(0, "agent_start"), at(30, "agent_start"), at(60), at(60.001), at(90.001))
        assert got["log@60"][0] == got["agent_start@0"][0]
        assert got["log@60.001"] == (ids.uuid5(ids.TRACES, ["run", "agent_start@30"]), "run")
        assert got["log@90.001"][1] == "time_window"

    def test_an_end_without_a_start_closes_nothing(self):
        got = attributed(at(0, "agent_end"), at(1, "agent_start"), at(2))
        assert got["agent_end@0"][1] == "time_window"
        assert got["log@2"][1] == "run"

    def test_a_run_has_the_trace_that_its_start_is_in(self):
        got = attributed(at(0, "agent_start", session_id="s"), at(1), at(2, "agent_end"))
        assert got["log@1"] == (got["agent_start@0"][0], "run")
        assert got["agent_end@2"] == got["log@1"]

    def test_an_invocation_goes_before_the_runs_in_it(self):
        got = attributed(at(0, "invocation_start", request_id="r"), at(1, "agent_start"), at(2), at(3, "agent_end"))
        assert {trace for trace, _ in got.values()} == {request("r")}

    def test_other_streams_have_no_part_in_it(self):
        other = Source(system="cloudwatch", account="1", region="r", log_group="g", log_stream="s2")
        got = attributed(
            at(0, "invocation_start", request_id="r"), at(1, source=other), at(0, "agent_start", source=other)
        )
        assert got["log@1"][1] == "run"


def edge(minute, boundary, kind="log", **fields):
    """An event of which its parser says what it is to its run."""
    properties = {"run_boundary": boundary}
    return at(minute, kind, event_id=f"{boundary}@{minute}", properties=properties, **fields)


def run_of(event_id):
    return ids.uuid5(ids.TRACES, ["run", event_id])


class TestRunBoundary:
    def test_what_the_parser_says_goes_before_the_type(self):
        got = attributed(
            edge(0, "start", "chain_start"),
            edge(1, "none", "agent_start"),
            at(2),
            edge(3, "none", "agent_end"),
            at(4),
            edge(5, "end", "chain_end"),
            at(6),
        )
        assert got.pop("log@6")[1] == "time_window"
        assert set(got.values()) == {(run_of("start@0"), "run")}

    def test_an_unknown_word_says_nothing(self):
        assert boundary_of(edge(0, "begin", "agent_start")).start
        assert boundary_of(edge(0, "begin")) is None

    def test_a_sign_of_life_opens_nothing(self):
        assert boundary_of(at(0, "agent_start", properties={"resumes": True})) is None
        assert boundary_of(at(0, "agent_start", properties={"resumes": False})) is not None

    def test_of_runs_whose_ends_are_not_printed_each_ends_the_one_before(self):
        got = attributed(edge(0, "next"), at(1), edge(2, "next"), at(3))
        assert {got["next@0"][0], got["log@1"][0]} == {run_of("next@0")}
        assert {got["next@2"][0], got["log@3"][0]} == {run_of("next@2")}

    def test_where_an_end_is_printed_it_counts(self):
        got = attributed(edge(0, "next"), edge(1, "end"), at(2), edge(3, "next"), at(4))
        assert got["end@1"][0] == run_of("next@0")
        assert got["log@2"][1] == "time_window"
        assert got["log@4"][0] == run_of("next@3")

    def test_what_starts_inside_a_call_is_part_of_the_run_that_calls(self):
        got = attributed(
            edge(0, "next"), edge(1, "call"), edge(2, "next"), edge(3, "call"), edge(4, "end"), at(5), edge(6, "end"),
            at(7), edge(8, "next"), at(9),
        )  # fmt: skip
        later = {got.pop("next@8")[0], got.pop("log@9")[0]}
        assert later == {run_of("next@8")}
        assert set(got.values()) == {(run_of("next@0"), "run")}

    def test_a_call_alone_is_no_run(self):
        got = attributed(at(0), edge(1, "call"), at(2), edge(3, "end"))
        assert {basis for _, basis in got.values()} == {"time_window"}
        assert len({trace for trace, _ in got.values()}) == 1

    def test_an_end_closes_a_run_with_what_it_left_open(self):
        """A crew in whose tools a graph runs, which prints no end."""
        got = attributed(edge(0, "start"), edge(1, "next"), at(2), edge(3, "end"), at(4))
        assert got["log@2"][0] == got["end@3"][0] == run_of("start@0")
        assert got["log@4"][1] == "time_window"


class TestBreaks:
    def test_a_start_right_behind_an_error_is_not_inside_the_run_that_died(self):
        got = attributed(edge(0, "start"), at(1), at(2, "error"), at(3), edge(4, "start"), at(5), edge(6, "end"), at(7))
        assert got["error@2"][0] == got["log@3"][0] == run_of("start@0")
        assert got["start@4"][0] == got["log@5"][0] == got["end@6"][0] == run_of("start@4")
        assert got["log@7"][1] == "time_window"

    def test_without_an_error_it_is_nested(self):
        got = attributed(edge(0, "start"), edge(4, "start"), at(5))
        assert {trace for trace, _ in got.values()} == {run_of("start@0")}

    def test_an_error_that_the_run_survived_breaks_nothing(self):
        got = attributed(edge(0, "start"), edge(1, "start"), at(2, "error"), edge(3, "end"), edge(4, "start"), at(5))
        assert {trace for trace, _ in got.values()} == {run_of("start@0")}

    def test_an_error_that_names_its_trace_is_none_of_the_streams(self):
        assert boundary_of(at(0, "error", request_id="r")) is None
        assert boundary_of(at(0, "error")).kind == "break"

    def test_another_streams_error_breaks_nothing(self):
        other = Source(system="cloudwatch", account="1", region="r", log_group="g", log_stream="s2")
        got = attributed(edge(0, "start"), at(2, "error", source=other), edge(4, "start"), at(5))
        assert got["log@5"][0] == run_of("start@0")

    def test_only_those_between_runs_are_loaded(self):
        starts = [boundary_of(at(minute, "agent_start")) for minute in (5, 0, 500)]
        (near, _) = breaks_needed([*starts, boundary_of(at(2, "error"))])
        assert near == Need(stream_key=KEY, kind="break", from_us=T0, to_us=T0 + 5 * MINUTE)
        assert breaks_needed([boundary_of(at(2, "error")), starts[0]]) == []

    def test_one_that_comes_late_moves_what_is_behind_the_next_start(self):
        late = boundary_of(at(2, "error"))
        assert affected([late], boundaries(at(0, "agent_start"))) == []
        (stretch,) = affected([late], boundaries(at(0, "agent_start"), at(3, "agent_start")))
        assert (stretch.kind, stretch.from_us, stretch.to_us) == ("run", T0 + 2 * MINUTE, T0 + 2 * MINUTE + RUN_CAP)


class TestLastResort:
    def test_a_quarter_of_an_hour_of_the_agent_else_of_the_stream_else_the_event_itself(self):
        elsewhere = Source(account="1", log_stream="elsewhere")
        nowhere = Source(system="http", account="1")
        got = attributed(
            at(0),
            at(14.9),
            at(15),
            at(1, agent_id="bot"),
            at(2, agent_id="bot", source=elsewhere),
            at(3, source=nowhere),
            at(4, source=None),
            at(5, source=None, agent_id="bot"),
        )
        assert got["log@0"] == got["log@14.9"] != got["log@15"]
        assert got["log@1"] == got["log@2"] != got["log@0"]
        assert got["log@3"][1] == got["log@4"][1] == "event"
        assert got["log@3"][0] != got["log@4"][0]
        assert got["log@5"][1] == "time_window"

    def test_the_records_time_counts_and_not_the_applications(self):
        late = at(1)
        late.timestamp = T0 + 50 * MINUTE
        got = attributed(at(0), late)
        assert got["log@1"] == got["log@0"]

    def test_without_auto_create_only_a_trace_id_makes_a_trace(self):
        got = attributed(
            at(0, "agent_start", request_id="r"),
            at(1),
            at(2, trace_id="t"),
            at(3, session_id="s"),
            auto_create_traces=False,
        )
        assert got.pop("log@2") == (given_trace("t"), "trace_id")
        assert set(got.values()) == {(None, "none")}


def test_attribute_returns_what_changed():
    events = [at(0, "agent_start"), at(1), at(2, request_id="r")]
    assert attribute(events, boundaries(*events)) == events
    assert attribute(events, boundaries(*events)) == []
    assert attribute(events, Boundaries()) == events[:2]


def test_one_boundary_told_twice_is_one():
    """Once as it came, once as the store keeps it."""
    start, end = boundary_of(at(0, "agent_start")), boundary_of(at(1, "agent_end"))
    again = [msgspec.structs.replace(boundary, name="bot", request_id="r") for boundary in (start, end)]
    for known in ([start, end, again[0]], [start, *again]):
        event = at(2)
        attribute([event], Boundaries(known))
        assert event.basis == "time_window"
    outer = boundary_of(at(-1, "agent_start"))
    event = at(2)
    attribute([event], Boundaries([outer, start, end, *again]))
    assert event.trace == outer.trace


def test_a_boundary_needs_a_stream():
    assert boundary_of(at(0)) is None
    assert boundary_of(at(0, "agent_start", source=None)) is None
    assert boundary_of(at(0, "agent_start", source=Source(account="1"))) is None
    end = boundary_of(at(0, "invocation_end", request_id="r"))
    assert (end.kind, end.start, end.trace, end.request_id) == ("invocation", False, "", "r")


class TestLoading:
    def test_strong_events_need_nothing(self):
        assert needed([at(0, request_id="r"), at(1, source=None)]) == []

    def test_weak_events_need_the_nearest_invocation_and_an_hour_of_runs(self):
        assert needed([at(3), at(1), at(2, trace_id="t")]) == [
            Need(stream_key=KEY, kind="invocation", from_us=T0 + MINUTE, to_us=T0 + 3 * MINUTE, before=True),
            Need(stream_key=KEY, kind="run", from_us=T0 + MINUTE - RUN_CAP, to_us=T0 + 3 * MINUTE),
        ]

    def test_far_apart_events_do_not_load_what_lies_between(self):
        spans = {(need.from_us, need.to_us) for need in needed([at(5000), at(0), at(60)]) if need.kind == "invocation"}
        assert spans == {(T0, T0 + 60 * MINUTE), (T0 + 5000 * MINUTE,) * 2}

    def test_around_an_invocations_boundary_the_neighbours_will_do(self):
        (invocation, run) = needed_around([boundary_of(at(0, "invocation_end"))])
        assert invocation == Need(stream_key=KEY, kind="invocation", from_us=T0, to_us=T0, before=True, after=True)
        assert (run.from_us, run.to_us) == (T0 - RUN_CAP, T0 + INVOCATION_CAP)


class TestLate:
    def test_an_invocation_reaches_to_the_next_boundary(self):
        late = boundary_of(at(5, "invocation_start", request_id="r"))
        assert affected([late], Boundaries([late])) == [
            Affected(stream_key=KEY, kind="invocation", from_us=T0 + 5 * MINUTE, to_us=T0 + 20 * MINUTE)
        ]
        known = boundaries(at(4, "invocation_end"), at(7, "invocation_end"))
        assert affected([late], known)[0].to_us == T0 + 7 * MINUTE

    def test_overlapping_stretches_are_one(self):
        starts = [boundary_of(at(minute, "agent_start")) for minute in (200, 30, 0)]
        stretches = [(a.from_us, a.to_us) for a in affected(starts, Boundaries(starts))]
        assert stretches == [(T0, T0 + 90 * MINUTE), (T0 + 200 * MINUTE, T0 + 260 * MINUTE)]

    def test_candidates_of_a_run_are_the_quarters_and_the_runs_reaching_in(self):
        past = [at(-50, "agent_start"), at(-40, "agent_start"), at(-30, "agent_end"), at(-1, "invocation_start")]
        late = boundary_of(at(0, "agent_start"))
        known = boundaries(*past, at(10, "agent_start"), at(0, "agent_start"))
        (stretch,) = affected([late], known)
        traces = candidate_traces(stretch, ["bot"], known)
        runs = {ids.uuid5(ids.TRACES, ["run", f"agent_start@{minute}"]) for minute in (-50, 0, 10)}
        assert runs <= traces
        weak = attributed(at(0), at(60), at(1, agent_id="bot"), at(61))
        assert {weak["log@0"][0], weak["log@60"][0], weak["log@1"][0]} <= traces
        assert len(traces) == len(runs) + 5 + 5

    def test_candidates_of_an_invocation_are_also_the_invocation_before_and_the_runs_reaching_in(self):
        past = [
            at(-30, "agent_start"),
            at(-9, "invocation_start", request_id="p"),
            at(-8, "invocation_start", request_id="q"),
        ]
        late = boundary_of(at(0, "invocation_start", request_id="r"))
        known = boundaries(*past, at(0, "invocation_start", request_id="r"), at(9, "invocation_start", request_id="s"))
        (stretch,) = affected([late], known)
        traces = candidate_traces(stretch, [], known)
        assert {request("q"), request("r"), ids.uuid5(ids.TRACES, ["run", "agent_start@-30"])} <= traces
        assert request("p") not in traces
