"""The oracle: compares what the source holds, record by record and byte by byte, with what the server gives back.

Every record must be claimed by exactly one event, or, where it was cut in mid-line, by adjacent pieces that together
are its message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Key = tuple[str, str, str]
"""Log group, log stream, log id."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong: records that no event holds whole, records held more than once, events of unknown records."""

    records: int
    lost: list[Key] = field(default_factory=list)
    duplicates: list[Key] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether all is well."""
        return not (self.lost or self.duplicates or self.unknown)


def judge(source: Mapping[Key, str], events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Compare the source's messages with the server's events, both complete."""
    claims: Counter[tuple[Key, str]] = Counter()
    blocks: list[tuple[list[tuple[Key, str]], str]] = []
    unknown: list[str] = []
    for event in events:
        origin = event.get("source") or {}
        if "." in origin.get("part", "0"):
            continue
        group, stream = origin.get("log_group", ""), origin.get("log_stream", "")
        ids = origin.get("log_ids") or [origin.get("log_id", "")]
        parts = origin.get("parts") or [origin.get("part", "0")] + ["0"] * (len(ids) - 1)
        claimed = [((group, stream, log_id), part) for log_id, part in zip(ids, parts, strict=True)]
        if any(key not in source for key, _ in claimed):
            unknown.append(str(event["event_id"]))
            continue
        claims.update(claimed)
        blocks.append((claimed, event.get("raw") or ""))
    pieces: dict[Key, set[str]] = defaultdict(set)
    for key, part in claims:
        pieces[key].add(part)
    texts: dict[Key, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for claimed, raw in blocks:
        for solution in islice(_readings(claimed, raw, source, pieces), 64):
            for (key, part), text in zip(claimed, solution, strict=True):
                texts[key][part].add(text)
    lost = [key for key, message in source.items() if not _whole(message, texts.get(key, {}))]
    duplicates = sorted({key for (key, _), count in claims.items() if count > 1})
    return Verdict(len(source), lost, duplicates, unknown)


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


def stored(url: str, what: str) -> list[dict[str, Any]]:
    """Read all events, or all traces, that the server holds, by its API."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = httpx.get(f"{url}/api/v1/{what}", params={"limit": 500} | ({"cursor": cursor} if cursor else {}))
        body = page.raise_for_status().json()
        rows += body[what]
        cursor = body["next_cursor"]
        if not cursor:
            return rows


def ledger(client: Any) -> dict[Key, str]:
    """Read what the source holds, by its own API."""
    messages: dict[Key, str] = {}
    for group in client.describe_log_groups()["logGroups"]:
        name, token = group["logGroupName"], ""
        while True:
            page = client.filter_log_events(logGroupName=name, **({"nextToken": token} if token else {}))
            for event in page["events"]:
                messages[name, event["logStreamName"], event["eventId"]] = event["message"]
            token = page.get("nextToken", "")
            if not token:
                break
    return messages
