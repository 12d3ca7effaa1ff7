"""From CloudWatch to the server with everything real: nothing lost, nothing twice, whatever happens on the way."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
import httpx

from demo import processes
from demo.oracle import judge, ledger
from vectadb_server.stores import engine

if TYPE_CHECKING:
    from .conftest import Stage


async def delete(data: Path, event_id: str) -> None:
    """Delete one event from a data directory that no server has open."""
    for day in (data / "record").glob("????-??-??"):
        connection = await engine.connect(f"surrealkv://{day}", "vectadb", "record")
        await connection.run("DELETE $id", {"id": engine.record("event", UUID(event_id))})
        await connection.close()


def peak_memory(pid: int) -> int:
    """Peak resident memory of a running process since it began, KiB; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def lines(count: int, tag: str = "") -> list[str]:
    return [json.dumps({"level": "info", "msg": f"line {number} {tag}"}) for number in range(count)]


def test_three_groups_with_different_lines_none_missed(stage: Stage) -> None:
    stage.put("/a", "s", lines(40))
    stage.put("/b", "s", [f"FATAL number {number}" for number in range(30)])
    stage.put("/b", "t", ["\n", " ", "é\t東京\u2028x", "\x1b[31mred\x1b[0m", "a\x00b", "{", "[1]"])
    stage.put("/ecs/c", "s", ["plain"] * 20)
    parsers = "[{type: json}, {type: regex, pattern: '(?P<level>ERROR|FATAL) (?P<message>.*)', event_type: error}]"
    stage.drain(stage.config("/a", "/b", {"prefix": "/ecs/"}, parsers=parsers))  # type: ignore[arg-type]
    verdict = stage.verdict()
    assert verdict, verdict
    assert verdict.records == 97
    errors = [event for event in stage.events() if event["event_type"] == "error"]
    assert sorted(event["properties"]["message"] for event in errors) == sorted(f"number {n}" for n in range(30))


def test_ten_thousand_events_in_one_group(stage: Stage) -> None:
    stage.put("/big", "s", lines(10_000, "x" * 60), ago=500, step=0.04)
    peaks = [0]
    with stage.agent(stage.config("/big"), "--drain") as agent:

        def ended() -> bool:
            peaks.append(peak_memory(agent.pid))
            return agent.poll() is not None

        stage.wait(ended, "the agent to catch up")
    assert agent.returncode == 0, stage.log("agent")
    assert 20 * 1024 < max(peaks) < 100 * 1024, "peak resident memory, KiB"
    verdict = stage.verdict()
    assert verdict, (len(verdict.lost), len(verdict.duplicates))
    assert verdict.records == 10_000


def test_sigterm_in_mid_poll_then_a_restart(stage: Stage) -> None:
    stage.put("/a", "s", lines(6_000), ago=500, step=0.06)
    config = stage.config("/a")
    with stage.agent(config) as agent:
        stage.wait(lambda: stage.records() > 0, "the first records")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0, stage.log("agent")
    stage.drain(config)
    verdict = stage.verdict()
    assert verdict, (len(verdict.lost), len(verdict.duplicates))


def test_sigkill_in_mid_poll_then_a_restart(stage: Stage) -> None:
    stage.put("/a", "s", lines(6_000), ago=500, step=0.06)
    config = stage.config("/a")
    with stage.agent(config) as agent:
        stage.wait(lambda: stage.records() > 0, "the first records")
        agent.kill()
        agent.wait(30)
    stage.drain(config)
    verdict = stage.verdict()
    assert verdict, (len(verdict.lost), len(verdict.duplicates))


def test_server_down_at_the_start_and_in_the_middle(stage: Stage) -> None:
    stage.stop_server()
    stage.put("/a", "s", lines(500), ago=300)
    with stage.agent(stage.config("/a")) as agent:
        stage.wait(lambda: "does not take events" in stage.log("agent"), "the agent to notice")
        stage.start_server()
        stage.wait(lambda: stage.records() == 500, "the records after the outage")
        stage.stop_server()
        stage.put("/a", "s", lines(300, "second"), ago=2, step=0)
        stage.wait(lambda: stage.log("agent").count("does not take events") == 2, "the agent to notice again")
        stage.start_server()
        stage.wait(lambda: stage.records() == 800, "all records")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0
    verdict = stage.verdict()
    assert verdict, verdict


def test_lines_that_come_while_it_runs_arrive_once(stage: Stage) -> None:
    stage.put("/a", "s", lines(5, "before"))
    with stage.agent(stage.config("/a")):
        for number in range(3):
            stage.wait(lambda number=number: stage.records() == 5 + number * 7, "the records so far")
            stage.put("/a", f"s{number}", lines(7, str(number)), ago=1, step=0)
        stage.wait(lambda: stage.records() == 26, "the last records")
    assert stage.verdict()


def test_a_missing_group_is_told_and_does_not_hold_up_the_others(stage: Stage) -> None:
    stage.put("/there", "s", lines(10))
    with stage.agent(stage.config("/there", "/missing")):
        stage.wait(lambda: stage.records() == 10, "the other group")
        stage.wait(lambda: "/missing" in stage.log("agent"), "a warning")
        stage.put("/missing", "s", lines(4), ago=1)
        assert stage.verdict().records == 14
    assert '"level": "warning"' in stage.log("agent")


def test_missing_credentials_end_the_run_with_one_clear_message(stage: Stage) -> None:
    stage.put("/a", "s", lines(1))
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/nowhere"}
    nothing |= {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    with stage.agent(stage.config("/a"), **nothing) as agent:
        assert agent.wait(60) == 1
    last = stage.log("agent").splitlines()[-1]
    assert last.startswith("vectadb-agent run: AWS credentials are missing or refused")
    assert "Traceback" not in stage.log("agent")


def test_check_says_what_is_wrong_before_anything_runs(stage: Stage) -> None:
    stage.put("/a", "s", lines(1))
    good, bad = stage.directory / "good.log", stage.directory / "bad.log"
    env = processes.aws(stage.endpoint)
    with processes.process([processes.BIN / "vectadb-agent", "check", "-c", stage.config("/a")], good, env) as check:
        assert check.wait(60) == 0, good.read_text()
    with processes.process([processes.BIN / "vectadb-agent", "check", "-c", stage.config("/b")], bad, env) as check:
        assert check.wait(60) == 1
    assert "/b" in bad.read_text()


def test_good_and_bad_events_in_one_batch(stage: Stage) -> None:
    good = [{"timestamp": "2026-01-01T00:00:00Z", "properties": {"n": n}} for n in range(120)]
    bad = [{"timestamp": "never"}, {"properties": {}}, {"timestamp": "2026-01-01T00:00:00Z", "properties": 3}]
    events = [*good[:60], bad[0], *good[60:90], bad[1], bad[2], *good[90:]]
    reply = httpx.post(f"{stage.url}/api/v1/events/batch", json={"events": events}, timeout=30)
    body = reply.json()
    assert (reply.status_code, body["ingested"], body["failed"]) == (200, 120, 3)
    assert [error["index"] for error in body["errors"]] == [60, 91, 92]
    assert len(stage.events()) == 120


def test_an_event_that_is_deleted_behind_the_server_s_back_is_seen_as_lost(stage: Stage) -> None:
    stage.put("/a", "s", lines(5))
    stage.drain(stage.config("/a"))
    events = stage.events()
    assert judge(ledger(stage.logs), events)
    victim = events[2]["event_id"]
    stage.stop_server()
    anyio.run(delete, stage.directory / "data", victim)
    stage.start_server()
    verdict = stage.verdict()
    assert (len(verdict.lost), len(verdict.duplicates)) == (1, 0)
