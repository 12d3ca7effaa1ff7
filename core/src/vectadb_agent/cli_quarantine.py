"""The command ``quarantine``: its options, and what it prints. It works beside a running agent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vectadb_agent.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from vectadb_agent.config import Configuration
    from vectadb_agent.quarantine import Entry, Fallen, Quarantine
    from vectadb_agent.replay import Replayed

STAYED = 1
_WHY = {
    "age": "too old (agent.quarantine_keep)",
    "size": "no room (agent.quarantine_max)",
    "dropped": "dropped by hand",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> Sequence[argparse.ArgumentParser]:
    """Add the command; return its parsers."""
    command = commands.add_parser(
        "quarantine",
        help="list, show, replay or drop events that a sink refused for good",
        description="Events that a sink refused for good are kept with the reason. Works beside a running agent. "
        "Exit code 0: done; 1: some of the entries stay.",
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what is there, oldest first")
    listing.add_argument("--json", action="store_true", help="print it as JSON")
    show = actions.add_parser("show", help="one entry with its event")
    show.add_argument("id", type=int, metavar="ID", help="its number in the list")
    replay = actions.add_parser("replay", help="offer entries to their sink again; what arrives leaves the quarantine")
    drop = actions.add_parser("drop", help="give entries up for good")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (replay, drop):
        parser.add_argument("id", type=int, nargs="*", metavar="ID", help="numbers in the list")
        parser.add_argument("--all", action="store_true", help="all, or all of --pipeline and --sink")
    for parser in (listing, replay, drop):
        parser.add_argument("--pipeline", help="only of this pipeline")
        parser.add_argument("--sink", help="only of this sink")
    return [listing, show, replay, drop]


def quarantine(options: argparse.Namespace, path: Path) -> int:
    """Do what the command line asks; return the exit code."""
    from vectadb_agent import config, logs
    from vectadb_agent.state import State

    logs.set_up("warning")
    configuration = config.read(path)
    with State(configuration.agent.state_dir, exclusive=False) as state:
        kept = state.kept
        if options.action != "show":
            _refuse_unknown(kept, configuration, options)
        if options.action == "list":
            entries = kept.entries(options.pipeline, options.sink)
            print(_json(entries, kept.fallen()) if options.json else _list(entries, kept.fallen()))
            return 0
        if options.action == "show":
            print(_show(kept, options.id))
            return 0
        entries = _chosen(kept, options)
        if options.action == "drop":
            return _drop(kept, entries, sure=options.yes)
        return _replay(kept, configuration, entries)


def _refuse_unknown(kept: Quarantine, configuration: Configuration, options: argparse.Namespace) -> None:
    """Entries may be of a pipeline or sink that is configured no more."""
    pipelines = [pipeline.name for pipeline in configuration.pipelines]
    known = [(entry.pipeline, entry.sink) for entry in kept.entries()]
    known += [(one.pipeline, one.sink) for one in kept.fallen()]
    if options.pipeline not in (None, *pipelines, *(pipeline for pipeline, _ in known)):
        raise unknown_name("--pipeline", options.pipeline, pipelines)
    if options.sink not in (None, *configuration.sinks, *(sink for _, sink in known)):
        raise unknown_name("--sink", options.sink, configuration.sinks)


def _chosen(kept: Quarantine, options: argparse.Namespace) -> list[Entry]:
    if options.all == bool(options.id):
        raise UsageError(f"which entries? Give their numbers, as in `quarantine {options.action} 3 4`, or --all")
    entries = kept.entries(options.pipeline, options.sink)
    if options.all:
        return entries
    by_id = {entry.id: entry for entry in entries}
    unknown = [id_ for id_ in options.id if id_ not in by_id]
    if unknown:
        raise _no_entry(unknown[0])
    return [by_id[id_] for id_ in dict.fromkeys(options.id)]


def _no_entry(id_: int) -> UsageError:
    return UsageError(f"there is no entry {id_} here; `vectadb-agent quarantine list` shows those that are")


def _list(entries: Sequence[Entry], fallen: Sequence[Fallen]) -> str:
    from vectadb_agent.records import rfc3339
    from vectadb_agent.reports import table

    rows = [("ID", "REFUSED AT", "PIPELINE", "SINK", "RECORDS", "BYTES", "TRIES", "REASON")]
    rows += [
        (
            str(entry.id),
            rfc3339(entry.at)[:19] + "Z",
            entry.pipeline,
            entry.sink,
            str(entry.records),
            str(entry.size),
            str(entry.tries),
            " ".join(entry.reason.split()),
        )
        for entry in entries
    ]
    lines = [table(rows)] if entries else ["The quarantine is empty."]
    lines += [f"{one.pipeline}, {one.sink}: {one.count} given up so far: {_WHY[one.why]}" for one in fallen]
    return "\n".join(lines)


def _json(entries: Sequence[Entry], fallen: Sequence[Fallen]) -> str:
    import msgspec

    from vectadb_agent.records import rfc3339

    shown = [{**msgspec.structs.asdict(entry), "at": rfc3339(entry.at)} for entry in entries]
    return msgspec.json.format(msgspec.json.encode({"entries": shown, "given_up": fallen})).decode()


def _show(kept: Quarantine, id_: int) -> str:
    import json

    from vectadb_agent.records import rfc3339

    one = kept.read(id_)
    if one is None:
        raise _no_entry(id_)
    entry = one.entry
    lines = [
        f"entry:      {entry.id}",
        f"refused at: {rfc3339(entry.at)} (first), {entry.tries} times",
        f"pipeline:   {entry.pipeline}",
        f"sink:       {entry.sink}",
        f"event:      {entry.event_id}",
        f"records:    {entry.records}",
        f"reason:     {entry.reason}",
        "" if one.wire is not None else "The event is not as it was written: state.db is damaged. Restart the agent.",
    ]
    if one.wire is not None:
        # A lone surrogate shows as its escape, and so does everything that would move a terminal's cursor.
        text = json.dumps(one.wire, indent=2, ensure_ascii=False)
        lines.append("".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text))
    return "\n".join(lines)


def _drop(kept: Quarantine, entries: Sequence[Entry], *, sure: bool) -> int:
    if not entries:
        print("Nothing to drop.")
        return 0
    what = f"{_counted(len(entries), 'event')} ({_counted(sum(entry.records for entry in entries), 'record')})"
    if not sure:
        if not sys.stdin.isatty():
            raise UsageError(f"this would give up {what} for good, and nobody can be asked: add --yes")
        answer = input(f"Give up {what} for good? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was dropped.")
            return STAYED
    dropped = sum(kept.drop(entry.id) for entry in entries)
    print(f"{dropped} dropped.")
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _replay(kept: Quarantine, configuration: Configuration, entries: Sequence[Entry]) -> int:
    import anyio

    from vectadb_agent.replay import LEAVES, replay

    if not entries:
        print("Nothing to replay.")
        return 0
    told: list[Replayed] = []

    def tell(one: Replayed) -> None:
        told.append(one)
        print(f"{one.id}  {one.sink}  {one.fate}" + (f": {one.reason}" if one.reason else ""), flush=True)

    anyio.run(replay, kept, configuration.sinks, entries, tell)
    left = sum(one.fate in LEAVES for one in told)
    print(f"{left} of {len(entries)} left the quarantine." + (" The others stay." if left < len(entries) else ""))
    return 0 if left == len(entries) else STAYED
