"""The ``file`` sink: on disk when it returns, whole lines whatever happens, nothing deleted that was not asked for."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import resource
import stat
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent_sinks.file import FileConfig, FileSink
from vectadb_agent_sinks.rotation import rotate

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.ndjson"


def sink_at(path, **options):
    return FileSink(FileConfig(type="file", path=path, **options))


def ids_in(path):
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line)["event_id"] for line in text.splitlines()]


async def test_events_are_appended_as_lines_of_their_wire_form(path, make_event):
    events = [make_event(0, text="two\nlines"), make_event(1)]
    async with sink_at(path) as sink:
        await sink.write(events[:1])
    async with sink_at(path) as sink:
        await sink.write(events[1:])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [event.wire() for event in events]


@pytest.mark.parametrize(("group_readable", "mode"), [(False, 0o600), (True, 0o640)])
async def test_a_new_file_is_not_for_everyone(path, make_event, group_readable, mode):
    before = os.umask(0o022)
    try:
        async with sink_at(path, group_readable=group_readable) as sink:
            await sink.write([make_event()])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_file_and_folder_are_synced_before_write_returns(path, make_event, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(fd):
        synced.append((Path(f"/proc/self/fd/{fd}").readlink(), os.fstat(fd).st_size))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    async with sink_at(path) as sink:
        await sink.write([make_event()])
        assert [name for name, _ in synced] == [path.parent, path]
        assert synced[-1] == (path, path.stat().st_size)


async def test_a_line_torn_by_a_crash_is_ended_before_the_next(path, make_event):
    path.write_bytes(b'{"event_id": "whole"}\n{"event_id": "to')
    async with sink_at(path) as sink:
        await sink.write([make_event()])
    lines = path.read_bytes().splitlines()
    assert lines[:2] == [b'{"event_id": "whole"}', b'{"event_id": "to']
    assert json.loads(lines[2])["event_id"] == "id-0"


async def test_an_event_that_is_no_json_is_refused_without_its_batch(path, make_event):
    async with sink_at(path) as sink:
        result = await sink.write([make_event(0, properties={"a": "\ud800"}), make_event(1)])
        assert [refused[0] for refused in result.refused] == ["id-0"]
        await sink.write([make_event(2, properties={"a": "\ud800"})])
    assert ids_in(path) == ["id-1"]


# --- What fails


async def test_a_full_disk_is_tried_again_and_said(make_event, tmp_path):
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    async with sink_at(path) as sink:
        with pytest.raises(RetryableError, match="disk is full") as caught:
            await sink.write([make_event()])
    assert str(path) in str(caught.value)


async def test_what_was_half_written_is_taken_back(path, make_event):
    batch = [make_event(number, text="x" * 400) for number in range(20)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with sink_at(path) as sink:
        await sink.write([make_event(99)])
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 3000, hard))
        try:
            with pytest.raises(RetryableError, match="rotate_size"):
                await sink.write(batch)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        await sink.write(batch)
    assert ids_in(path) == ["id-99", *(f"id-{number}" for number in range(20))]


async def test_a_failed_sync_counts_as_not_written(path, make_event, monkeypatch):
    async with sink_at(path) as sink:
        await sink.write([make_event(0)])

        def broken(fd):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(RetryableError, match="Input/output error"):
                await sink.write([make_event(1)])
        assert ids_in(path) == ["id-0"]
        await sink.write([make_event(1)])
    assert ids_in(path) == ["id-0", "id-1"]


async def test_a_folder_that_vanishes_is_tried_again(tmp_path, make_event):
    folder = tmp_path / "logs"
    folder.mkdir()
    async with sink_at(folder / "events") as sink:
        await sink.write([make_event(0)])
        (folder / "events").unlink()
        folder.rmdir()
        with pytest.raises(RetryableError, match="No such file"):
            await sink.write([make_event(1)])
        folder.mkdir()
        await sink.write([make_event(1)])
    assert ids_in(folder / "events") == ["id-1"]


# --- Files that others move, and several writers


async def test_a_file_moved_away_is_begun_anew(path, make_event):
    async with sink_at(path) as sink:
        await sink.write([make_event(0)])
        path.rename(path.with_name("moved"))
        await sink.write([make_event(1)])
    assert ids_in(path.with_name("moved")) == ["id-0"]
    assert ids_in(path) == ["id-1"]


async def test_several_sinks_may_write_and_rotate_one_file(path, make_event):
    async def write(sink, first):
        for number in range(first, first + 40):
            await sink.write([make_event(number)])

    options = {"rotate_size": 2000, "rotate_keep": 1000, "rotate_compress": True}
    async with (
        sink_at(path, **options) as one,
        sink_at(path, **options) as two,
        anyio.create_task_group() as tasks,
    ):
        for number, sink in enumerate((one, two, one)):
            tasks.start_soon(write, sink, 100 * number)
    found = [event_id for file in path.parent.iterdir() for event_id in ids_in(file)]
    assert sorted(found) == sorted(f"id-{100 * turn + number}" for turn in range(3) for number in range(40))


async def test_a_writer_waits_while_another_rotates(path, make_event, monkeypatch):
    asked = threading.Event()
    real = fcntl.flock

    def flock(fd, how):
        if how == fcntl.LOCK_EX:
            asked.set()
        real(fd, how)

    async with sink_at(path) as sink:
        await sink.write([make_event(0)])
        with path.open() as other:
            real(other, fcntl.LOCK_EX)
            monkeypatch.setattr(fcntl, "flock", flock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sink.write, [make_event(1)])
                assert await anyio.to_thread.run_sync(asked.wait, 10)
                path.rename(path.with_name("rotated"))
                real(other, fcntl.LOCK_UN)
    assert ids_in(path.with_name("rotated")) == ["id-0"]
    assert ids_in(path) == ["id-1"]


# --- Rotation


async def test_without_rotate_size_a_file_only_grows(path, make_event):
    async with sink_at(path) as sink:
        for number in range(5):
            await sink.write([make_event(number, text="x" * 1000)])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("compress", "suffix"), [(False, ""), (True, ".gz")])
async def test_a_full_file_is_renamed_and_the_oldest_deleted(path, make_event, compress, suffix):
    async with sink_at(path, rotate_size=1000, rotate_keep=2, rotate_compress=compress) as sink:
        for number in range(5):
            await sink.write([make_event(number, text="x" * 800)])
    files = {file.name: ids_in(file) for file in path.parent.iterdir()}
    assert files == {path.name: ["id-4"], f"{path.name}.1{suffix}": ["id-3"], f"{path.name}.2{suffix}": ["id-2"]}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_a_batch_larger_than_rotate_size_stays_whole_in_one_file(path, make_event):
    async with sink_at(path, rotate_size=1000) as sink:
        await sink.write([make_event(number, text="x" * 800) for number in range(3)])
        await sink.write([make_event(3)])
    assert ids_in(path.with_name(path.name + ".1")) == ["id-0", "id-1", "id-2"]
    assert ids_in(path) == ["id-3"]


async def test_what_cannot_be_compressed_stays_as_it_is(path, make_event, caplog):
    path.with_name(path.name + ".gz.tmp").mkdir()
    async with sink_at(path, rotate_size=1000, rotate_compress=True) as sink:
        for number in range(2):
            await sink.write([make_event(number, text="x" * 800)])
    assert ids_in(path.with_name(path.name + ".1")) == ["id-0"]
    assert "could not be compressed" in caplog.text


async def test_when_rotation_fails_nothing_is_lost(path, make_event):
    path.with_name(path.name + ".1").write_text("")
    (path.with_name(path.name + ".2") / "occupied").mkdir(parents=True)
    async with sink_at(path, rotate_size=1000, rotate_keep=2) as sink:
        await sink.write([make_event(0, text="x" * 800)])
        with pytest.raises(RetryableError):
            await sink.write([make_event(1, text="x" * 800)])
        assert ids_in(path) == ["id-0"]


@given(st.sets(st.sampled_from([f"{n}{s}" for n in range(1, 6) for s in ("", ".gz")])), st.integers(1, 5))
def test_rotation_keeps_order_and_deletes_only_the_one_beyond_keep(tmp_path_factory, present, keep):
    path = tmp_path_factory.mktemp("rotation") / "events.1"  # a name that itself looks like a rotated one
    path.write_text("new")
    for name in present:
        path.with_name(f"events.1.{name}").write_text(name)
    rotate(path, keep)
    after = {file.name.removeprefix("events.1."): file.read_text() for file in path.parent.iterdir()}
    assert after["1"] == "new"
    gone = present - set(after.values())
    numbers = {int(name[0]) for name in present}
    full = numbers >= set(range(1, keep + 1))
    assert gone == ({name for name in present if int(name[0]) == keep} if full else set())
    order = [int(text[0]) for name, text in sorted(after.items(), key=lambda item: int(item[0][0])) if text != "new"]
    assert order == sorted(order)


# --- check() and configuration


async def test_check_changes_nothing(path, make_event):
    sink = sink_at(path)
    assert await sink.check() == [f"{path}: will be made"]
    assert not path.exists()
    async with sink:
        await sink.write([make_event()])
    assert "writable" in (await sink.check())[0]


async def test_check_says_what_is_wrong_with_the_path(tmp_path):
    with pytest.raises(CheckError, match="does not exist: create it"):
        await sink_at(tmp_path / "absent" / "events").check()
    with pytest.raises(CheckError, match="is a folder"):
        await sink_at(tmp_path).__aenter__()
    (tmp_path / "file").touch()
    with pytest.raises(CheckError, match="Not a directory"):
        await sink_at(tmp_path / "file" / "events").check()


async def test_a_home_folder_is_understood(tmp_path, monkeypatch, make_event):
    monkeypatch.setenv("HOME", str(tmp_path))
    async with sink_at("~/events") as sink:
        await sink.write([make_event()])
    assert ids_in(tmp_path / "events") == ["id-0"]


def test_a_rotate_size_without_unit_of_use_is_refused(path):
    with pytest.raises(ValidationError):
        FileConfig(type="file", path=path, rotate_size="10B")
