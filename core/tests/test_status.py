"""``vectadb-agent status``: of a running agent, and of one that runs no more."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vectadb_agent import status
from vectadb_agent.cli import main
from vectadb_agent.errors import StateError
from vectadb_agent.state import State
from vectadb_agent.vitals import PipelineStatus, Sample, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600_000_000
PLUGIN = """
import anyio
from vectadb_agent import Batch, Figure, LogRecord, LogStream, Result, Sink, Source, hookimpl

class Few(Source):
    name = "few"
    async def read(self, after, *, drain=False):
        stream = LogStream("t", "1", "eu", "/g", "s")
        records = [LogRecord(stream, str(n), n, f"line {n}") for n in range(3)]
        if "/g" not in after:
            yield Batch(partition="/g", records=records, checkpoint={"n": 3})
        if not drain:
            await anyio.sleep_forever()
    def figures(self):
        return [Figure("lag_seconds", "Lag.", 12.4, labels=(("partition", "/g"),))]
    def unreadable(self):
        return {"/typo": "nobody knows it"}

class Taking(Sink):
    name = "taking"
    async def write(self, events):
        return Result()

@hookimpl
def vectadb_register_sources():
    return [Few]

@hookimpl
def vectadb_register_sinks():
    return [Taking]
"""
COMMAND = [sys.executable, "-c", "import sys; from vectadb_agent.cli import main; sys.exit(main())"]


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    info = tmp_path / "site" / "few-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "few_for_status.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: few\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vectadb_agent]\nfew = few_for_status\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "CONFIG_PATH": str(tmp_path / "agent.yaml")}


def configure(tmp_path: Path, agent: str = "") -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(
        f"agent: {{state_dir: {tmp_path}/state{agent}}}\nplugins: [few]\n"
        "pipelines: {p: {source: {type: few}, sinks: [out]}}\n"
        "sinks: {out: {type: taking, batch_age: 1ms}}\n"
    )
    return path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def ask(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "status", *options], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_status_of_a_running_agent_then_of_one_that_has_ended(tmp_path: Path, site: dict[str, str]) -> None:
    port = free_port()
    configure(tmp_path, f", listen: '127.0.0.1:{port}'")
    never = ask(site)
    assert never.returncode == 1
    assert "no agent has run with it yet" in never.stderr
    with subprocess.Popen([*COMMAND, "run"], env=site, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if '"started"' in line:
                    break
            told: dict[str, int] = {}
            while told.get("delivered") != 3:
                asked = ask(site, "--json")
                assert asked.returncode == 0, asked.stderr
                body = json.loads(asked.stdout)
                told = body["pipelines"][0]["counts"]
            assert (body["pid"], body["status"], body["quarantine"]) == (process.pid, "ok", 0)
            assert body["pipelines"][0]["unreadable"] == {"/typo": "nobody knows it"}
            shown = ask(site)
            assert shown.returncode == 0
            assert f"(process {process.pid}, up " in shown.stdout
            assert "read 3 = delivered 3 + duplicate 0 + filtered 0 + quarantined 0 + expired 0 + in flight 0" in (
                shown.stdout
            )
            assert "/g         12 s  not swept yet" in shown.stdout
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as metrics:
                text = metrics.read().decode()
            assert 'vectadb_agent_delivered_records_total{pipeline="p"} 3.0' in text
            assert 'vectadb_agent_lag_seconds{partition="/g",pipeline="p",source="few"} 12.4' in text
        finally:
            process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0
    ended = ask(site)
    assert ended.returncode == 1
    assert "no agent is running" in ended.stdout
    assert '/g         not swept yet     {"n":3}' in ended.stdout
    kept = json.loads(ask(site, "--json").stdout)
    assert (kept["status"], kept["pipelines"]["p"]["checkpoints"]) == ("not running", {"/g": {"n": 3}})


def test_an_address_that_is_taken_ends_the_run_with_one_message(tmp_path: Path, site: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        configure(tmp_path, f", listen: '127.0.0.1:{taken.getsockname()[1]}'")
        done = subprocess.run(
            [*COMMAND, "run", "--drain"], env=site, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "agent.listen 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "written", ["9464", "':9464'", "'127.0.0.1'", "'127.0.0.1:99999'", "'::1:9464'", "'http://127.0.0.1:1'", "true"]
)
def test_an_address_must_say_host_and_port(tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(f"agent: {{listen: {written}}}\npipelines: {{}}\n")
    assert main(["status", "-c", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}:1: agent.listen: an address is a host and a port: 127.0.0.1:9464" in said


# --- What is said of the state file


def test_the_state_file_tells_checkpoints_and_sweeps(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        for lane, checkpoint in (
            ("", {"watermark": 5}),
            ("sweep 300", {"through": 0}),
            ("sweep 86400", {"through": HOUR}),
        ):
            state.save("p", "/g", lane=lane, checkpoint=checkpoint)
        rest = status.at_rest(tmp_path / "state", ["p", "q"])
    assert rest.pipelines["p"].complete_through == {"/g": {"300": 0, "86400": HOUR}}
    assert 0 <= rest.saved_seconds_ago < 3600
    text = status.rest_text(rest)
    assert "1970-01-01 00:00:00 (after 5 min), 1970-01-01 01:00:00 (after 24 h)" in text
    assert '{"watermark":5}' in text
    assert text.endswith("pipeline q\n  no checkpoint was saved")


def test_nobody_there_is_no_agent(tmp_path: Path) -> None:
    assert status.ask(tmp_path / "nowhere") is None
    assert status.ask(tmp_path) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "agent.sock"))
    assert status.ask(tmp_path) is None


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[list[bytes | None]]:
    """Somebody on the socket who sends these bytes to whoever connects; ``None``: nothing at all."""
    answers: list[bytes | None] = []
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                if answers[0] is None:
                    ended.wait(30)
                else:
                    peer.sendall(answers[0])

        thread = threading.Thread(target=answer)
        thread.start()
        yield answers
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "no answer in 0.2 s: it is busy or hangs"),
        (b"", "no whole answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "no whole answer"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}", "answered 500 in a form that this version does not know"),
    ],
)
def test_an_agent_that_does_not_tell_is_an_error_with_the_next_step(
    tmp_path: Path,
    answering: list[bytes | None],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    words: str,
) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.2)
    answering.append(answer)
    with pytest.raises(StateError, match=r"agent\.sock") as caught:
        status.ask(tmp_path)
    assert words in str(caught.value)


# --- What people read


def told(**more: object) -> Status:
    counts = {"read": 1234567, "delivered": 1230000, "duplicate": 4000, "filtered": 0, "quarantined": 1, "expired": 0}
    stuck = "nothing was delivered for 300 s: sink out: down"
    given = {
        "version": "1.2.3", "pid": 7, "started_at": "2026-01-01T00:00:00.000000Z", "uptime_seconds": 12_000.0,
        "status": "unhealthy", "reasons": [f"pipeline p: {stuck}"],
        "pipelines": [PipelineStatus("p", "cloudwatch", ["out"], {**counts, "in_flight": 566}, stuck)],
        "figures": [
            Sample("lag_seconds", 7200.0, {"pipeline": "p", "partition": "/b"}),
            Sample("complete_through_seconds", 3600.0, {"pipeline": "p", "partition": "/b", "age": "300"}),
            Sample("complete_through_seconds", 0.0, {"pipeline": "p", "partition": "/b", "age": "86400"}),
            Sample("complete_through_seconds", 0.0, {"pipeline": "p", "partition": "/a", "age": "300"}),
            Sample("lag_seconds", 5.0, {"pipeline": "other", "partition": "/c"}),
            Sample("queued_events", 120.0, {"pipeline": "p", "sink": "out"}),
            Sample("queued_bytes", 45_000.0, {"pipeline": "p", "sink": "out"}),
            Sample("retries_total", 3.0, {"pipeline": "p", "sink": "out"}),
            Sample("failing", 1.0, {"pipeline": "p", "sink": "out"}),
            Sample("throttles_total", 2.0, {"pipeline": "p", "source": "cloudwatch"}),
            Sample("newest_timestamp_seconds", 1_767_229_200.5, {"pipeline": "p", "log_group": "/b"}),
            Sample("open_blocks", 0.0, {"pipeline": "p"}),
            Sample("sink_requests_total", 9.0, {"sink": "out", "outcome": "ok"}),
            Sample("process_resident_memory_bytes", 71_300_000.0),
        ],
        "quarantine": 1,
    }  # fmt: skip
    return Status(**{**given, **more})


def test_people_read_all_that_matters() -> None:
    assert (
        status.running_text(told())
        == """\
vectadb-agent 1.2.3: unhealthy (process 7, up 3 h 20 min, 71 MB)
  pipeline p: nothing was delivered for 300 s: sink out: down

pipeline p: cloudwatch -> out
  read 1,234,567 = delivered 1,230,000 + duplicate 4,000 + filtered 0 + quarantined 1 + expired 0 + in flight 566
  102.9 records/s since the start
  PARTITION  LAG      COMPLETE THROUGH
  /a         unknown  1970-01-01 00:00:00 (after 5 min)
  /b         2 h      1970-01-01 01:00:00 (after 5 min), 1970-01-01 00:00:00 (after 24 h)
  to out: 120 events wait (45 KB), 3 retries, FAILING (tried again; the log says why)
  throttles 2, newest_timestamp_seconds /b 2026-01-01 01:00:00

sink out: sink_requests ok 9
quarantine: 1 kept"""
    )


def test_a_sink_that_takes_nothing_is_in_the_first_line_at_once() -> None:
    assert status.headline(told(status="ok")).startswith("vectadb-agent 1.2.3: ok, but sink out takes nothing (")


def test_a_group_that_cannot_be_read_is_named_with_the_cause_and_in_the_first_line() -> None:
    counts = dict.fromkeys(["read", *status.TERMS], 0)
    unread = {"/typo": "no log group /typo", "/secret": "allow the IAM action"}
    for names, words in ((["/typo"], "/typo"), (["/typo", "/secret"], "2 partitions")):
        pipeline = PipelineStatus("p", "cloudwatch", ["out"], counts, None, {name: unread[name] for name in names})
        shown = told(status="ok", reasons=[], pipelines=[pipeline], figures=[])
        assert status.headline(shown).startswith(f"vectadb-agent 1.2.3: ok, but {words} cannot be read (")
        for name in names:
            assert f"\n  cannot be read: {name}: {unread[name]}\n" in status.running_text(shown)
            assert json.loads(status.as_json(shown))["pipelines"][0]["unreadable"][name] == unread[name]


def test_what_cannot_be_told_is_said() -> None:
    text = status.running_text(told(quarantine=None, figures=[], uptime_seconds=0.0))
    assert "quarantine: cannot be told now" in text
    assert "up 0 ms" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "250 ms"), (12.4, "12 s"), (119, "119 s"), (300, "5 min"), (3600, "1 h"), (86_400, "24 h"),
     (1_166_400, "13 d 12 h"), (172_800, "2 d")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert status.duration(seconds) == words
