"""``vectadb-agent quarantine`` as a person meets it: what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vectadb_agent.records import Block, Event, LogRecord, LogStream, id_maker
from vectadb_agent.state import State

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = '''
from vectadb_agent import Result, Sink, SinkConfig, Source, errors, hookimpl

class Quiet(Source):
    name = "quiet"

class PickyConfig(SinkConfig):
    path: str
    """Where the lines go."""

class Picky(Sink):
    """Takes what has no z in it, unless it is down."""
    name = "picky"
    Config = PickyConfig
    async def write(self, events):
        if self.config.path == "down":
            raise errors.RetryableError("it is down")
        taken = [event for event in events if "z" not in event.raw]
        with open(self.config.path, "a") as out:
            out.writelines(event.raw + "\\n" for event in taken)
        refused = [(event.event_id, "it has a z", False) for event in events if "z" in event.raw]
        return Result(refused=refused)

@hookimpl
def vectadb_register_sources():
    return [Quiet]

@hookimpl
def vectadb_register_sinks():
    return [Picky]
'''
COMMAND = [sys.executable, "-c", "import sys; from vectadb_agent.cli import main; sys.exit(main())", "quarantine"]
STREAM = LogStream("t", "1", "eu", "/g", "s")


class Site:
    """A place with the plugin, a configuration and a quarantine of three events."""

    def __init__(self, tmp_path: Path) -> None:
        info = tmp_path / "site" / "toy-1.0.dist-info"
        info.mkdir(parents=True)
        (tmp_path / "site" / "toy_for_quarantine.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[vectadb_agent]\ntoy = toy_for_quarantine\n")
        self.state, self.out = tmp_path / "state", tmp_path / "out"
        (tmp_path / "agent.yaml").write_text(
            f"agent: {{state_dir: {self.state}}}\nplugins: [toy]\n"
            "pipelines: {p: &p {source: {type: quiet}, sinks: [one]}, other: *p}\n"
            "sinks: {one: {type: picky, path: '${OUT}'}}\n"
        )
        self.env = {
            **os.environ,
            "PYTHONPATH": str(tmp_path / "site"),
            "OUT": str(self.out),
            "CONFIG_PATH": str(tmp_path / "agent.yaml"),
        }
        with State(self.state) as state:
            for number, (text, sink) in enumerate([("abc", "one"), ("xyz", "one"), ("old\x1b[31m", "gone")]):
                record = LogRecord(STREAM, f"i{number}", 1_700_000_000_000_000, text)
                event_id = id_maker(STREAM)(record.log_id, "0")
                event = Event(event_id=event_id, raw=text, block=Block((record,), (text,), ("0",)))
                state.quarantine("p", sink, [(event_id, f"reason\n{number}", event.wire())])

    def run(self, *arguments: str, stdin: int = subprocess.DEVNULL, **env: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**self.env, **env},
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def left(self) -> list[int]:
        with State(self.state, exclusive=False) as state:
            return [entry.id for entry in state.kept.entries()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_list_and_show_work_beside_a_running_agent(site: Site) -> None:
    with State(site.state):
        code, out, _ = site.run("list")
        assert code == 0
        lines = out.splitlines()
        assert lines[0].split() == ["ID", "REFUSED", "AT", "PIPELINE", "SINK", "RECORDS", "BYTES", "TRIES", "REASON"]
        assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
        assert lines[1].endswith("reason 0")
        code, out, _ = site.run("list", "--json", "--sink", "gone", "--pipeline", "p")
        (entry,) = json.loads(out)["entries"]
        assert (entry["id"], entry["sink"], entry["records"], entry["reason"]) == (3, "gone", 1, "reason\n2")
        code, out, _ = site.run("show", "3")
        assert code == 0
        assert "\x1b" not in out
        assert json.loads(out[out.index("{") :])["raw"] == "old\x1b[31m"
        assert site.run("list", "--pipeline", "other")[:2] == (0, "The quarantine is empty.\n")


def test_replay_says_what_became_of_each(site: Site) -> None:
    code, out, err = site.run("replay", "--all")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "1  one  delivered",
        "2  one  refused again: it has a z",
        "3  gone  cannot now: no sink 'gone' is configured (configured: one)",
        "1 of 3 left the quarantine. The others stay.",
    ]
    assert site.out.read_text() == "abc\n"
    assert site.left() == [2, 3]
    code, out, _ = site.run("replay", "2", OUT="down")
    assert (code, out.splitlines()[0]) == (1, "2  one  cannot now: it is down")
    assert site.run("replay", "--all", "--pipeline", "other")[:2] == (0, "Nothing to replay.\n")


def test_replay_of_what_arrives_exits_with_0(site: Site) -> None:
    assert site.run("replay", "1") == (0, "1  one  delivered\n1 of 1 left the quarantine.\n", "")


def test_drop_asks_on_a_terminal_and_else_wants_to_be_told(site: Site) -> None:
    code, _, err = site.run("drop", "1")
    assert code == 2
    assert "add --yes" in err
    ours, theirs = pty.openpty()
    os.write(ours, b"n\ny\n")
    code, out, _ = site.run("drop", "1", stdin=theirs)
    assert (code, site.left()) == (1, [1, 2, 3])
    assert "Give up 1 event (1 record) for good? [y/N]" in out
    code, out, _ = site.run("drop", "1", stdin=theirs)
    assert (code, site.left()) == (0, [2, 3])
    os.close(ours)
    os.close(theirs)
    assert site.run("drop", "--all", "--sink", "one", "--yes")[:2] == (0, "1 dropped.\n")
    assert site.left() == [3]
    assert "p, one: 2 given up so far: dropped by hand" in site.run("list")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay",), "which entries?"),
        (("replay", "1", "--all"), "which entries?"),
        (("drop", "9", "--yes"), "there is no entry 9"),
        (("show", "9"), "there is no entry 9"),
        (("list", "--pipeline", "nope"), "--pipeline nope: there is none of that name (configured: p, other)"),
        (("list", "--sink", "nope"), "--sink nope: there is none of that name (configured: one)"),
        (("drop", "--all", "--yes", "--pipeline", "nope"), "--pipeline nope: there is none of that name"),
        (("replay", "--all", "--sink", "nope"), "--sink nope: there is none of that name"),
    ],
)
def test_a_wrong_command_line_is_told_and_changes_nothing(site: Site, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = site.run(*arguments)
    assert code == 2
    assert said in err
    assert site.left() == [1, 2, 3]


def test_entries_of_a_sink_that_is_configured_no_more_are_found_by_its_name(site: Site) -> None:
    code, out, _ = site.run("list", "--sink", "gone")
    assert (code, len(out.splitlines())) == (0, 2)
    assert site.run("drop", "--all", "--sink", "gone", "--yes")[:2] == (0, "1 dropped.\n")
    assert site.run("list", "--sink", "gone")[0] == 0, "what was given up of it is still told"


def test_without_a_state_directory_it_says_where_it_looked(site: Site) -> None:
    for path in site.state.iterdir():
        path.unlink()
    site.state.rmdir()
    code, _, err = site.run("list")
    assert code == 1
    assert f"agent.state_dir {site.state}" in err
    assert "Run `vectadb-agent run` first" in err
    assert not site.state.exists()
