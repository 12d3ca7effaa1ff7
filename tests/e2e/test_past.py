"""The past read again: sweeps, ``audit`` and ``backfill`` with the real server and an emulated CloudWatch."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import httpx

from demo import processes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Stage


def command(stage: Stage, *words: str) -> tuple[int, str]:
    """Run ``vectadb-agent`` to its end; return its exit code and what it printed, its log apart."""
    done = subprocess.run(
        [processes.BIN / "vectadb-agent", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **processes.aws(stage.endpoint)},
        check=False,
    )
    with (stage.directory / "agent.log").open("a") as log:
        log.write(done.stderr)
    return done.returncode, done.stdout


def audit(stage: Stage, config: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, printed = command(stage, "audit", "--config", str(config), "--since", "9m", "--json", *words)
    return code, json.loads(printed)["certificates"]


def test_a_record_that_appears_behind_the_head_is_found_by_a_sweep(stage: Stage) -> None:
    lines = [json.dumps({"n": n}) for n in range(50)]
    stage.put("/g", "s", lines, ago=300)
    config = stage.config("/g", sweeps=["8s"], settle_min="100ms", settle_max="200ms")
    with stage.agent(config):
        stage.wait(lambda: stage.records() == 50, "the records of the head")
        # The head has passed this time, the sweep has not.
        stage.put("/g", "s", ['{"late": 1}'], ago=4)
        stage.put("/g", "t", ['{"late": 2}'], ago=4)
        stage.wait(lambda: stage.records() == 52, "the late records")
    stage.wait_until_indexed()
    assert stage.verdict()


def test_an_audit_proves_what_is_there_and_repairs_what_is_not(stage: Stage) -> None:
    stage.put("/g", "s", [json.dumps({"n": n}) for n in range(100)], ago=400)
    config = stage.config("/g", lookback="9m")
    stage.drain(config)
    code, (certificate,) = audit(stage, config, "--until", "1m")
    assert code == 0, certificate
    assert sum(hour["source"] for hour in certificate["hours"]) == 100
    assert certificate["complete_through"] == certificate["until"]
    stage.put("/g", "late", ['{"late": 1}'], ago=380)
    code, (certificate,) = audit(stage, config, "--until", "1m")
    assert code == 1
    assert [one["log_stream"] for hour in certificate["hours"] for one in hour["named"]] == ["late"]
    code, (certificate,) = audit(stage, config, "--until", "1m", "--repair")
    assert code == 0, certificate
    assert sum(hour["repaired"] for hour in certificate["hours"]) == 1
    stage.wait_until_indexed()
    assert stage.verdict()


def test_an_audit_names_what_the_server_holds_and_the_log_has_no_longer(stage: Stage) -> None:
    hour = 2 * 3600
    stage.put("/g", "s", [json.dumps({"n": n}) for n in range(20)], ago=hour)
    config = stage.config("/g", lookback="4h")
    stage.drain(config)
    reply = httpx.post(
        f"{stage.url}/api/v1/events",
        json={
            "timestamp": (event := stage.events()[0])["timestamp"],
            "source": {**event["source"], "log_stream": "gone", "log_id": "deleted"},
        },
        timeout=30,
    )
    assert reply.status_code == 200
    code, printed = command(stage, "audit", "--config", str(config), "--since", "4h", "--until", "1h", "--json")
    assert code == 0
    (certificate,) = json.loads(printed)["certificates"]
    assert sum(each["extra"] for each in certificate["hours"]) == 1
    (named,) = [one for each in certificate["hours"] for one in each["named_extra"]]
    assert (named["log_stream"], named["log_id"], named["timestamp"]) == (
        "gone",
        "deleted",
        event["source"]["timestamp"],
    )


def test_a_backfill_reads_what_was_before_and_a_reparse_repairs_what_a_parser_made_of_it(stage: Stage) -> None:
    stage.put("/g", "s", [f"tool=search_{n} took 5" for n in range(60)], ago=7200, step=60)
    config = stage.config("/g", lookback="1m", parsers="[]")
    stage.drain(config)
    before = stage.records()
    code, _ = command(stage, "backfill", "--config", str(config), "--since", "3h")
    assert code == 0, stage.log("agent")
    assert before < 60 == stage.records()
    assert {event["event_type"] for event in stage.events()} == {"log"}
    corrected = r"[{type: regex, rules: [{pattern: 'tool=(?P<tool>\w+) took', event_type: tool_call}]}]"
    config = stage.config("/g", lookback="1m", parsers=corrected)
    code, _ = command(stage, "backfill", "--config", str(config), "--since", "3h")
    assert code == 0, stage.log("agent")
    assert {event["event_type"] for event in stage.events()} == {"log"}, "all was there: nothing was shipped anew"
    code, _ = command(stage, "backfill", "--config", str(config), "--since", "3h", "--reparse")
    assert code == 0, stage.log("agent")
    stage.wait_until_indexed()
    assert {event["event_type"] for event in stage.events()} == {"tool_call"}
    assert stage.verdict()
