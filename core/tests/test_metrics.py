"""What the agent tells of itself: true at every scrape, whatever its parts do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from vectadb_agent import (
    AgentReport,
    Batch,
    ComponentConfig,
    Figure,
    LogRecord,
    LogStream,
    Parser,
    Result,
    __version__,
    runner,
)
from vectadb_agent.components import Reading
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import RetryableError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import ListSource, MemorySink
from vectadb_agent.vitals import Vitals

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
STREAM = LogStream("test", "1", "eu", "/g", "s")
TERMS = ("delivered", "duplicate", "filtered", "quarantined", "expired")


class Dropping(Parser):
    """Leaves out lines that start with d."""

    name = "dropping"

    def parse(self, block: Any) -> Any:
        return [] if block.text.startswith("d") else None

    def figures(self) -> Any:
        return [Figure("cache_entries", "Entries.", 7)]


@pytest.fixture
def state(tmp_path: Path) -> Any:
    with State(tmp_path / "state") as opened:
        yield opened


def build(state: State, sink: MemorySink, messages: list[str], *, stay: bool = False) -> tuple[Pipeline, Settings]:
    records = [LogRecord(STREAM, str(n), 1_000_000 * n, text) for n, text in enumerate(messages)]
    source = ListSource(
        [Batch(partition="/g", records=records[at : at + 5]) for at in range(0, len(records), 5)], stay=stay
    )
    settings = Settings("p", None, source, (Dropping(ComponentConfig(type="d")),), ("out",), 4_000_000)
    return Pipeline(settings, {"out": sink}, state), settings


def read(text: bytes) -> dict[str, float]:
    """Samples by name and labels, as Prometheus reads them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found, "a sample stands there twice"
            found[key] = sample.value
    return found


def terms(samples: dict[str, float], pipeline: str = "p") -> dict[str, float]:
    names = {name: f"vectadb_agent_{name}_records_total{{pipeline={pipeline}}}" for name in ("read", *TERMS)}
    return {
        **{name: samples[key] for name, key in names.items()},
        "in_flight": samples[f"vectadb_agent_in_flight_records{{pipeline={pipeline}}}"],
    }


async def test_the_terms_add_up_at_every_scrape_while_a_sink_fails_and_refuses(state: State) -> None:
    scrapes: list[dict[str, float]] = []
    vitals = Vitals(state)
    calls = 0

    def plan(events: Any) -> Result | None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise RetryableError("not now", retry_after=0)
        return Result(refused=[(events[0].event_id, "never", False)]) if calls % 4 == 0 else None

    sink = MemorySink(plan, batch_size=2, batch_age="0ms", concurrency=2)
    pipeline, settings = build(state, sink, [("d" if n % 5 == 0 else "a") + str(n) for n in range(60)] * 2)
    vitals.watch(pipeline, settings)

    async def scrape() -> None:
        while True:
            scrapes.append(terms(read(await vitals.metrics())))
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(scrape)
            await pipeline.run(anyio.Event(), drain=True)
            group.cancel_scope.cancel()
    scrapes.append(terms(read(await vitals.metrics())))
    assert len(scrapes) > 3
    for told in scrapes:
        assert told["read"] == sum(told[term] for term in TERMS) + told["in_flight"]
        assert min(told.values()) >= 0
    assert scrapes[-1]["in_flight"] == 0
    assert scrapes[-1]["read"] == 120
    assert scrapes[-1]["filtered"] > 0
    assert scrapes[-1]["quarantined"] > 0


async def test_counters_never_fall(state: State) -> None:
    vitals = Vitals(state)
    pipeline, settings = build(state, MemorySink(batch_age="0ms"), [f"a{n}" for n in range(50)])
    vitals.watch(pipeline, settings)
    before = terms(read(await vitals.metrics()))
    with anyio.fail_after(30):
        await pipeline.run(anyio.Event(), drain=True)
    after = terms(read(await vitals.metrics()))
    assert all(after[term] >= before[term] for term in ("read", *TERMS))
    assert (before["read"], after["read"], after["delivered"]) == (0, 50, 50)


async def test_parts_tell_with_the_labels_of_their_place(state: State) -> None:
    vitals = Vitals(state)
    pipeline, settings = build(state, MemorySink(), [])
    vitals.watch(pipeline, settings)
    vitals.listen_to(
        lambda: [
            Figure("sink_requests_total", "Requests.", 3, "counter", (("outcome", 'o"k\\\n'), ("sink", "forged")))
        ],
        sink="out",
    )
    samples = read(await vitals.metrics())
    assert samples["vectadb_agent_cache_entries{parser=dropping,pipeline=p,position=0}"] == 7
    assert samples['vectadb_agent_sink_requests_total{outcome=o"k\\\n,sink=out}'] == 3
    assert samples["vectadb_agent_retries_total{pipeline=p,sink=out}"] == 0
    (about,) = [key for key in samples if key.startswith("vectadb_agent_build_info")]
    assert f"version={__version__}" in about
    assert samples["process_resident_memory_bytes{}"] > 1_000_000
    assert samples["process_cpu_seconds_total{}"] > 0


async def test_lag_is_the_time_up_to_which_all_is_saved(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    vitals = Vitals(state)
    pipeline, settings = build(state, MemorySink(batch_age="0ms"), ["a"])
    assert isinstance(settings.source, ListSource)
    settings.source.batches[0].read_through = 5_000_000
    monkeypatch.setattr(settings.source, "now", lambda: 7_500_000)
    vitals.watch(pipeline, settings)
    assert not [key for key in read(await vitals.metrics()) if "lag_seconds" in key]
    with anyio.fail_after(30):
        await pipeline.run(anyio.Event(), drain=True)
    assert read(await vitals.metrics())["vectadb_agent_lag_seconds{partition=/g,pipeline=p}"] == 2.5


async def test_sinks_are_told_how_far_each_partition_is(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[AgentReport] = []

    class Passing(MemorySink):
        async def report(self, told_now: AgentReport) -> None:
            told.append(told_now)
            if len(told) < 3:
                raise RetryableError("not now")
            group.cancel_scope.cancel()

    vitals, sink = Vitals(state), Passing(batch_age="0ms")
    pipeline, settings = build(state, sink, ["a"])
    assert isinstance(settings.source, ListSource)
    settings.source.batches[0].read_through = 5_000_000
    vitals.watch(pipeline, settings)
    labels = (("partition", "/g"), ("age", "300"))
    vitals.listen_to(lambda: [Figure("complete_through_seconds", "x", 4.5, labels=labels)], pipeline="p")
    with anyio.fail_after(30):
        await pipeline.run(anyio.Event(), drain=True)
    monkeypatch.setattr(runner, "TELL_EVERY", 0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(runner._tell, "out", sink, vitals)
    reading = Reading("p", "/g", "1970-01-01T00:00:05.000000Z", {"300": "1970-01-01T00:00:04.500000Z"})
    assert told[-1].readings == [reading]
    assert (told[-1].version, told[-1].reasons) == (__version__, [])
    assert told[-1].agent.endswith(f":{state.directory}")


def _raising() -> Any:
    yield Figure("half", "Half of it.", 1)
    raise RuntimeError("a bug in a plugin")


@pytest.mark.parametrize(
    "figures",
    [
        _raising,
        lambda: [Figure("good", "Good.", 1), Figure("bad name", "Bad.", 1)],
        lambda: [Figure("a", "Bad label.", 1, labels=(("bad-label", "x"),))],
        lambda: [Figure("a", "No number.", None)],  # type: ignore[arg-type]
    ],
)
async def test_a_part_that_fails_to_tell_is_left_out_and_logged_once(
    state: State, caplog: pytest.LogCaptureFixture, figures: Any
) -> None:
    vitals = Vitals(state)
    vitals.listen_to(figures, sink="broken")
    vitals.listen_to(lambda: [Figure("fine", "Fine.", 1)], sink="other")
    for _ in range(3):
        samples = read(await vitals.metrics())
        assert samples["vectadb_agent_fine{sink=other}"] == 1
        assert not [key for key in samples if "broken" in key]
    assert [record.message for record in caplog.records] == ["figures cannot be told; they are left out"]


async def test_one_name_is_one_family_and_one_sample_a_label_set(state: State) -> None:
    vitals = Vitals(state)
    for sink in ("a", "b", "a"):
        vitals.listen_to(lambda: [Figure("lag_seconds", "Lag.", 2)], sink=sink)
    text = await vitals.metrics()
    assert text.count(b"# TYPE vectadb_agent_lag_seconds gauge") == 1
    assert {key for key in read(text) if "lag" in key} == {
        "vectadb_agent_lag_seconds{sink=a}",
        "vectadb_agent_lag_seconds{sink=b}",
    }


async def test_a_stuck_pipeline_makes_the_agent_unhealthy_with_the_reason(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    vitals = Vitals(state)
    pipeline, settings = build(state, MemorySink(), [])
    vitals.watch(pipeline, settings)
    assert vitals.reasons() == []
    assert (await vitals.status()).status == "ok"
    monkeypatch.setattr(pipeline, "stuck", lambda: "nothing was delivered for 300 s")
    assert vitals.reasons() == ["pipeline p: nothing was delivered for 300 s"]
    status = await vitals.status()
    assert (status.status, status.pipelines[0].stuck) == ("unhealthy", "nothing was delivered for 300 s")
    samples = read(await vitals.metrics())
    assert samples["vectadb_agent_healthy{}"] == 0
    assert samples["vectadb_agent_stuck{pipeline=p}"] == 1


async def test_the_quarantine_is_counted_and_a_state_file_that_fails_holds_up_nothing(state: State) -> None:
    vitals = Vitals(state)
    sink = MemorySink(lambda events: Result(refused=[(event.event_id, "never", False) for event in events]))
    pipeline, settings = build(state, sink, ["a", "b"])
    vitals.watch(pipeline, settings)
    with anyio.fail_after(30):
        await pipeline.run(anyio.Event(), drain=True)
    assert read(await vitals.metrics())["vectadb_agent_quarantine_events{}"] == 2
    assert (await vitals.status()).quarantine == 2
    state.__exit__(None, None, None)
    assert not [key for key in read(await vitals.metrics()) if "quarantine_events" in key]
    assert (await vitals.status()).quarantine is None
