r"""Cases for parsers, written by their users: lines, and the events that must come of them.

::

    parsers:                       # optional, and so is processors: else those of --config or --parser, else auto
      - {type: regex, pattern: '(?P<level>ERROR) payment (?P<id>\d+)'}
    cases:
      - name: a failed payment
        input: |
          ERROR payment 7 failed
        expect:                    # one entry for each event, in order; only what is named is compared
          - {event_type: error, id: "7"}

An entry names fields of an event (``event_type``, ``timestamp``, ``trace_id``, ``request_id``, ``session_id``,
``agent_id``, ``raw``) and properties, either under ``properties`` or beside the fields, as on the wire. An object that
is expected may hold more than is named, at any depth; a list may not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import config, sample
from vectadb_agent.errors import ConfigError, Problem
from vectadb_agent.host import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vectadb_agent.sample import Chain

_FIELDS = frozenset(("event_type", "timestamp", "trace_id", "request_id", "session_id", "agent_id", "raw"))
_KEYS = frozenset(("parsers", "processors", "cases"))
_CASE_KEYS = frozenset(("name", "input", "expect"))
_NOTHING = object()


@dataclass(frozen=True)
class Case:
    """Lines, each a record, and the events expected of them; ``line``: where the case begins in its file."""

    name: str
    line: int
    input: Sequence[str]
    expect: Sequence[dict[str, Any]]
    chain: Chain


@dataclass
class Outcome:
    """What came of a case; it passed if there are no problems."""

    case: Case
    problems: list[str] = field(default_factory=list)


def read(file: Path, chain: Chain | None) -> list[Case]:
    """Read the cases of a file, to be run with ``chain`` as far as the file names no parsers, or no processors.

    Raises:
        ConfigError: with every mistake in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(file), 0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(file), 0, "", f"is not UTF-8 text (byte {error.start})")]) from error
    document = config.read_document(text, str(file), os.environ)
    data = document.data if isinstance(document.data, dict) else {}
    for key in data:
        if key not in _KEYS:
            document.blame((key,), f"unknown key (known: {', '.join(sorted(_KEYS))})")
    used = chain or sample.Chain(
        () if "parsers" in data else sample.parsers_by_name([config.DEFAULT_PARSER]),
    )
    if "parsers" in data:
        used = used._replace(parsers=config.make_parsers(document, load(), data, ()))
    if "processors" in data:
        used = used._replace(processors=config.make_processors(document, load(), data, ()))
    listed = data.get("cases")
    if not isinstance(listed, list) or not listed:
        document.blame(("cases",), "a list of cases is wanted, each with `name:`, `input:` and `expect:`")
        listed = []
    cases = [_case(document, index, each, used) for index, each in enumerate(listed)]
    if document.problems:
        raise ConfigError(document.problems)
    return [case for case in cases if case is not None]


def _case(document: config.Document, index: int, told: Any, chain: Chain) -> Case | None:
    path: tuple[str | int, ...] = ("cases", index)
    if not isinstance(told, dict):
        document.blame(path, "a mapping with `name:`, `input:` and `expect:` is wanted")
        return None
    for key in told:
        if key not in _CASE_KEYS:
            document.blame((*path, key), f"unknown key (known: {', '.join(sorted(_CASE_KEYS))})")
    given, expect = told.get("input"), told.get("expect")
    if isinstance(given, str):
        lines = given.removesuffix("\n").split("\n")
    elif isinstance(given, list) and all(isinstance(each, str) for each in given):
        lines = given
    else:
        document.blame((*path, "input"), "the lines are wanted: a text, or a list of texts (one for each record)")
        return None
    if not isinstance(expect, list) or not all(isinstance(each, dict) for each in expect):
        document.blame((*path, "expect"), "a list of events is wanted, each a mapping; [] where the lines are filtered")
        return None
    name = told.get("name")
    line = document.lines.get(path, 1)
    return Case(name if isinstance(name, str) else f"case {index + 1}", line, lines, expect, chain)


def run(cases: Iterable[Case]) -> Iterator[Outcome]:
    """Run cases, one after the other."""
    for case in cases:
        made = [event.wire() for taken in sample.parse(iter(case.input), case.chain) for event in taken.events]
        outcome = Outcome(case)
        for number, wanted in enumerate(case.expect):
            if number >= len(made):
                outcome.problems.append(f"event {number + 1} is missing: {_json(wanted)}")
                continue
            outcome.problems += _differences(number + 1, wanted, made[number])
        outcome.problems += [
            f"event {number + 1} was not expected: {made[number].get('event_type')} {_json(made[number]['properties'])}"
            for number in range(len(case.expect), len(made))
        ]
        yield outcome


def told(file: Path, outcome: Outcome) -> list[str]:
    """The lines that tell a person how a case went."""
    case = outcome.case
    if not outcome.problems:
        return [f"ok    {case.name}"]
    lines = [line for each in outcome.problems for line in each.split("\n")]
    return [f"FAIL  {case.name}  ({file}:{case.line})", *(f"      {line}" for line in lines)]


def _differences(number: int, wanted: dict[str, Any], made: dict[str, Any]) -> list[str]:
    found: list[str] = []
    beside = {name: value for name, value in wanted.items() if name not in _FIELDS and name != "properties"}
    properties = wanted.get("properties")
    expected = beside | (properties if isinstance(properties, dict) else {})
    pairs = [(name, wanted[name], made.get(name, _NOTHING)) for name in _FIELDS if name in wanted]
    pairs += [(name, value, made["properties"].get(name, _NOTHING)) for name, value in expected.items()]
    for name, value, actual in pairs:
        if not _fits(value, actual):
            is_there = "nothing" if actual is _NOTHING or actual is None else _json(actual)
            found.append(f"event {number}, {name}:\n  expected  {_json(value)}\n  found     {is_there}")
    return found


def _fits(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return all(_fits(value, actual.get(name, _NOTHING)) for name, value in wanted.items())
    if wanted is None:
        return actual is _NOTHING or actual is None
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return wanted is actual
    return bool(wanted == actual)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
