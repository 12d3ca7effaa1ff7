"""The oracle: compares what the source holds, record by record and byte by byte, with what the server gives back.

Every record must be claimed by exactly one event, or, where it was cut in mid-line, by adjacent pieces that together
are its message.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from demo.processes import asking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Key = tuple[str, str, str, str]
"""Account, log group, log stream, log id."""

_ESCAPED = re.compile("\x1a([0-9a-f]{4})")
_PER_PAGE = 1_000
_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """Records whose text is not the source's: what it should be, what the server gives back."""

    keys: tuple[Key, ...]
    expected: str
    found: str

    def __str__(self) -> str:
        at = next(
            (at for at, (a, b) in enumerate(zip(self.expected, self.found, strict=False)) if a != b),
            min(len(self.expected), len(self.found)),
        )
        around = slice(max(0, at - 20), at + 40)
        return (
            f"{self.keys[0]} and {len(self.keys) - 1} more records of its block differ from character {at} on: "
            f"…{self.expected[around]!r} should be there, …{self.found[around]!r} is"
        )


@dataclass(frozen=True)
class Verdict:
    """What is wrong.

    ``lost``: records that no event holds. ``duplicates``: records held more than once. ``altered``: records held, but
    not as they were. ``unknown``: events of records that the source never had.
    """

    records: int
    lost: list[Key] = field(default_factory=list)
    duplicates: list[Key] = field(default_factory=list)
    altered: list[Difference] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether all is well."""
        return not (self.lost or self.duplicates or self.altered or self.unknown)

    def __str__(self) -> str:
        if self:
            return f"All {self.records} records are there, each in exactly one event, not a byte altered."
        kinds: dict[str, Sequence[object]] = {
            "missing": self.lost,
            "twice": self.duplicates,
            "altered": self.altered,
            "unknown": self.unknown,
        }
        lines = [
            f"WRONG, of {self.records} records: {', '.join(f'{len(found)} {what}' for what, found in kinds.items())}"
        ]
        lines += [f"  {what}: {one}" for what, found in kinds.items() for one in found[:_SHOWN]]
        return "\n".join(lines)


def judge(source: Mapping[Key, str], events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Compare the source's messages with the server's events, both complete. Of the events only odd ones are kept."""
    whole: set[Key] = set()
    duplicates: set[Key] = set()
    odd: list[tuple[list[tuple[Key, str]], str]] = []
    unknown: list[str] = []
    for event in events:
        origin = event.get("source") or {}
        if "." in origin.get("part", "0"):
            continue
        of = (origin.get("account", ""), origin.get("log_group", ""), origin.get("log_stream", ""))
        ids = origin.get("log_ids") or [origin.get("log_id", "")]
        parts = origin.get("parts") or [origin.get("part", "0")] + ["0"] * (len(ids) - 1)
        claimed = [((*of, log_id), part) for log_id, part in zip(ids, parts, strict=True)]
        if any(key not in source for key, _ in claimed):
            unknown.append(str(event["event_id"]))
            continue
        raw = unescaped(event.get("raw") or "")
        if any(part != "0" for part in parts) or raw != _joined([source[key] for key, _ in claimed]):
            odd.append((claimed, raw))
            continue
        for key, _ in claimed:
            if key in whole:
                duplicates.add(key)
            whole.add(key)
    altered = _judge_odd(source, odd, whole, duplicates)
    lost = [key for key in source if key not in whole]
    return Verdict(len(source), lost, sorted(duplicates), altered, unknown)


def _judge_odd(
    source: Mapping[Key, str], odd: list[tuple[list[tuple[Key, str]], str]], whole: set[Key], duplicates: set[Key]
) -> list[Difference]:
    """Judge blocks that hold pieces of records, or that are not the source's text; add to what is whole and twice."""
    claims = Counter(claim for claimed, _ in odd for claim in claimed)
    pieces: dict[Key, set[str]] = defaultdict(set)
    for key, part in claims:
        pieces[key].add(part)
    duplicates.update(key for (key, part), count in claims.items() if count > 1 or (part == "0" and key in whole))
    texts: dict[Key, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    altered: list[Difference] = []
    for claimed, raw in odd:
        solutions = list(islice(_readings(claimed, raw, source, pieces), 64))
        for solution in solutions:
            for (key, part), text in zip(claimed, solution, strict=True):
                texts[key][part].add(text)
        if not solutions:
            altered.append(
                Difference(tuple(key for key, _ in claimed), _joined([source[key] for key, _ in claimed]), raw)
            )
    told = {key for difference in altered for key in difference.keys}
    for key, parts in texts.items():
        if key in told:
            continue
        if key in whole or not _whole(source[key], parts):
            found = " | ".join(min(parts[part]) for part in sorted(parts, key=int))
            altered.append(Difference((key,), source[key], found))
    whole.update(pieces)
    return altered


def unescaped(text: str) -> str:
    """The text that the agent read: what ``vectadb_agent.records.sendable`` does to it is undone."""
    if "\x1a" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _joined(lines: Sequence[str]) -> str:
    """The lines of a block as the agent joins them: see ``vectadb_agent.records.join_lines``."""
    if len(lines) == 1:
        return lines[0]
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines[:-1]) + lines[-1]


def _whole(message: str, parts: Mapping[str, set[str]]) -> bool:
    """Say whether the pieces found, in order, are the message."""
    if "0" not in parts:
        return False
    choices = [sorted(parts[part]) for part in sorted(parts, key=int)]
    return any("".join(choice) == message for choice in product(*choices))


def _readings(
    claimed: list[tuple[Key, str]], raw: str, ledger: Mapping[Key, str], pieces: Mapping[Key, set[str]]
) -> Iterator[list[str]]:
    """Yield the ways in which ``raw`` can be the claimed records' texts, joined as the agent joins them.

    See ``vectadb_agent.records.join_lines``. A record that was cut may give any stretch of its message.
    """
    todo: list[tuple[int, list[str]]] = [(0, [])]
    while todo:
        at, texts = todo.pop()
        if len(texts) == len(claimed):
            if at == len(raw):
                yield texts
            continue
        key, _ = claimed[len(texts)]
        last = len(texts) == len(claimed) - 1
        for text in _candidates(ledger[key], cut=len(pieces[key]) > 1, raw=raw, at=at):
            if not raw.startswith(text, at):
                continue
            end = at + len(text)
            if not last and not text.endswith("\n"):
                if not raw.startswith("\n", end):
                    continue
                end += 1
            todo.append((end, [*texts, text]))


def _candidates(message: str, *, cut: bool, raw: str, at: int) -> Iterator[str]:
    if not cut:
        yield message
        return
    for start in range(len(message)):
        if message[start] == raw[at : at + 1]:
            for end in range(len(message), start, -1):
                yield message[start:end]


def rows(url: str, what: str, **filters: str) -> Iterator[dict[str, Any]]:
    """Read all events, or all traces, that the server holds, by its API, page by page."""
    cursor = ""
    while True:
        parameters = {"limit": _PER_PAGE} | filters | ({"cursor": cursor} if cursor else {})
        reply = asking().get(f"{url}/api/v1/{what}", params=parameters, timeout=60)
        body = reply.raise_for_status().json()
        yield from body[what]
        cursor = body["next_cursor"]
        if not cursor:
            return


def stored(url: str, what: str) -> list[dict[str, Any]]:
    """Read all events, or all traces, that the server holds, by its API."""
    return list(rows(url, what))


def ledger(client: Any) -> dict[Key, str]:
    """Read what the source holds, by its own API."""
    messages: dict[Key, str] = {}
    for group in client.describe_log_groups()["logGroups"]:
        name, account, token = group["logGroupName"], group["arn"].split(":")[4], ""
        while True:
            page = client.filter_log_events(logGroupName=name, **({"nextToken": token} if token else {}))
            for event in page["events"]:
                messages[account, name, event["logStreamName"], event["eventId"]] = event["message"]
            token = page.get("nextToken", "")
            if not token:
                break
    return messages
