"""One bucket for all processes of a user, and the file that it is kept in."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent_cloudwatch import quotafile
from vectadb_agent_cloudwatch.pacing import Pacing
from vectadb_agent_cloudwatch.quota import TokenBucket, documented_quota, shared_bucket
from vectadb_agent_cloudwatch.quotafile import QuotaFile

pytestmark = pytest.mark.anyio


class Ticker:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def directory() -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "vectadb-agent"


def the_file() -> Path:
    (found,) = directory().glob("quota-*")
    return found


async def free_at(file: QuotaFile) -> float:
    return await file.change(lambda pacing, now: pacing.free_at - now)


def push(pacing: Pacing, now: float) -> None:
    pacing.free_at = now + 50


@pytest.fixture(autouse=True)
def _warn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotafile, "_warned", False)


async def test_turns_are_spaced() -> None:
    ticker = Ticker()
    bucket = TokenBucket(0.5, QuotaFile("q", monotonic=ticker), monotonic=ticker, sleep=ticker.sleep)
    await bucket.turn()
    assert ticker.now == 100
    await bucket.turn()
    assert ticker.now == pytest.approx(100 + 1 / bucket.full_rate)
    await bucket.giving_way.turn()
    assert ticker.now == pytest.approx(100 + 2 / bucket.full_rate)


async def test_a_turn_that_could_not_be_used_in_time_is_given_up() -> None:
    ticker = Ticker()
    slept: list[float] = []

    async def stopped_once(seconds: float) -> None:
        slept.append(seconds)
        ticker.now += seconds + (30 if len(slept) == 2 else 0)

    bucket = TokenBucket(1, QuotaFile("q", monotonic=ticker), monotonic=ticker, sleep=stopped_once)
    await bucket.turn()
    await bucket.turn()
    assert len(slept) == 3


async def test_two_who_name_the_same_quota_share_it_and_its_troubles(aws: Any) -> None:
    place = ("FilterLogEvents", "1", "eu-central-1", "https://logs.eu-central-1.amazonaws.com")
    one, other = TokenBucket(4, QuotaFile("q")), TokenBucket(4, QuotaFile("q"))
    await one.throttled()
    await other.throttled()  # of the same crowd
    assert one.rate == other.rate == one.full_rate / 2
    await one.succeeded()
    assert one._known is not other._known
    first, second = shared_bucket(*place, 4), shared_bucket(*place, 4)
    assert first._known is second._known
    vpc = shared_bucket(*place[:3], "https://vpce-1-x.logs.eu-central-1.vpce.amazonaws.com", 4)
    assert vpc._known is first._known
    assert shared_bucket(*place[:3], "http://127.0.0.1:4566", 4)._known is not first._known
    assert shared_bucket("FilterLogEvents", "2", *place[2:], 4)._known is not first._known


@pytest.mark.parametrize(
    ("operation", "region", "rate"),
    [
        ("FilterLogEvents", "us-east-1", 25),
        ("FilterLogEvents", "eu-west-1", 10),
        ("FilterLogEvents", "il-central-1", 5),
        ("GetLogEvents", "us-west-2", 10),
        ("DescribeLogGroups", "eu-west-1", 10),
    ],
)
def test_documented_quotas(operation: str, region: str, rate: float) -> None:
    assert documented_quota(operation, region) == rate


async def test_what_one_writes_another_reads_and_nobody_else_can() -> None:
    await QuotaFile("q").change(push)
    assert await free_at(QuotaFile("q")) == pytest.approx(50, abs=5)
    assert await free_at(QuotaFile("another")) < 1
    assert directory().stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory().iterdir())


@given(st.binary(max_size=200) | st.integers(0, 51))
def test_damaged_content_counts_as_nothing_known(content: bytes | int) -> None:
    async def spoil_and_read() -> float:
        file = QuotaFile("q")
        await file.change(push)
        if isinstance(content, bytes):
            the_file().write_bytes(content)
        else:
            good = bytearray(the_file().read_bytes())
            good[content] ^= 1
            the_file().write_bytes(good)
        return await free_at(QuotaFile("q"))

    assert anyio.run(spoil_and_read) < 5


async def test_what_was_written_before_the_machine_was_started_anew_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await QuotaFile("q").change(push)
    monkeypatch.setattr(quotafile, "_RUN", b"another run 0123")
    assert await free_at(QuotaFile("q")) < 5


async def test_where_the_system_does_not_name_its_runs_the_times_themselves_tell() -> None:
    file = QuotaFile("q", monotonic=lambda: 10**6)
    await file.change(push)
    ticker = Ticker()  # started 100 seconds ago
    bucket = TokenBucket(4, QuotaFile("q", monotonic=ticker), monotonic=ticker, sleep=ticker.sleep)
    await bucket.turn()
    assert ticker.now == 100


async def test_removed_file_is_made_anew_and_unused_ones_are_removed() -> None:
    file = QuotaFile("q")
    await file.change(push)
    os.utime(the_file(), (0, 0))
    await QuotaFile("r").change(push)
    assert len(list(directory().iterdir())) == 1
    assert await free_at(file) < 5
    assert len(list(directory().iterdir())) == 2


def _foreign_symlink() -> None:
    elsewhere = directory().parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    directory().symlink_to(elsewhere)


def _open_to_others() -> None:
    directory().mkdir()
    directory().chmod(0o755)


def _no_directory() -> None:
    directory().write_text("a file")


@pytest.mark.parametrize("spoil", [_foreign_symlink, _open_to_others, _no_directory])
async def test_a_directory_that_cannot_be_trusted_is_left_alone_with_one_warning(spoil: Any, reports: Any) -> None:
    spoil()
    buckets = [TokenBucket(2, QuotaFile(name)) for name in "qr"]
    for bucket in buckets:
        await bucket.throttled()
        assert bucket.rate == bucket.full_rate / 2
    assert [record.levelname for record in reports.records] == ["WARNING"]
    assert "XDG_RUNTIME_DIR" in reports.records[0].getMessage()
    assert not any(directory().parent.rglob("quota-*"))


async def test_a_link_in_place_of_the_file_is_not_followed(reports: Any, tmp_path: Path) -> None:
    await QuotaFile("q").change(push)
    target = tmp_path / "target"
    target.write_text("precious")
    the_file().unlink()
    (directory() / QuotaFile("q")._name).symlink_to(target)
    assert await free_at(QuotaFile("q")) < 5
    assert target.read_text() == "precious"
    assert len(reports.records) == 1


async def test_who_holds_the_lock_is_waited_for_but_not_for_ever(reports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await QuotaFile("q").change(push)
    with the_file().open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with anyio.create_task_group() as tasks:
            waited: list[float] = []

            async def ask() -> None:
                waited.append(await free_at(QuotaFile("q")))

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert not waited
            fcntl.flock(held, fcntl.LOCK_UN)
        assert waited[0] > 20
        assert not reports.records
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(quotafile, "_PATIENCE", 0)
        assert await free_at(QuotaFile("q")) < 5
    assert len(reports.records) == 1


@pytest.fixture
def arrivals() -> Iterator[tuple[str, list[float]]]:
    """An endpoint that answers every request with an empty page, and when each came."""
    times: list[float] = []

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["X-Amz-Target"].endswith("FilterLogEvents"):
                times.append(time.monotonic())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", times
        server.shutdown()


READER = """
import sys, anyio
from contextlib import aclosing
from vectadb_agent_cloudwatch import CloudWatchSource

async def main(url, limit):
    reads = CloudWatchSource(CloudWatchSource.Config.model_validate({
        "type": "cloudwatch", "region": "eu-west-1", "account": "123456789012", "endpoint_url": url,
        "log_groups": [f"/g{i}" for i in range(40)], "poll_interval": "10ms", "max_requests_per_second": limit,
        "pages_in_flight": 8,
    }))
    async with reads, anyio.create_task_group() as tasks:
        async def again(group):
            while True:
                async for _ in reads.reread(group, reads.now() - 10**9, reads.now()):
                    pass
        for group in ("/g1", "/g2"):
            tasks.start_soon(again, group)
        async with aclosing(reads.read({})) as batches:
            async for _ in batches:
                pass

anyio.run(main, sys.argv[1], float(sys.argv[2]))
"""


async def test_two_processes_together_keep_within_the_limit_in_any_ten_seconds(
    aws: Any, arrivals: tuple[str, list[float]]
) -> None:
    url, times = arrivals
    limit = 30
    command = [sys.executable, "-c", READER, url, str(limit)]
    readers = [await anyio.open_process(command, stdout=None, stderr=None) for _ in range(2)]
    try:
        with anyio.fail_after(60):
            while not times or times[-1] - times[0] < 11:
                await anyio.sleep(0.1)
                assert [reader.returncode for reader in readers] == [None, None]
    finally:
        for reader in readers:
            reader.kill()
            await reader.wait()
    seen = sorted(times)
    windows = [sum(start <= at < start + 10 for at in seen) for start in seen]
    assert max(windows) <= limit * 10
    assert max(windows) > limit * 10 * 0.7  # and both were really held back by nothing else
