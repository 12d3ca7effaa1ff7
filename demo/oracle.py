"""The oracle: compares what the source holds, record by record and byte by byte, with what the server gives back.

Every record must be claimed by exactly one event, or, where it was cut in mid-line, by adjacent pieces that together
are its message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING, Any

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


def judge(ledger: Mapping[Key, str], events: Iterable[Mapping[str, Any]]) -> Verdict:
    """Compare the source's messages with the server's events, both complete."""
    claims: Counter[tuple[Key, str]] = Counter()
    blocks: list[tuple[list[tuple[Key, str]], str]] = []
    unknown: list[str] = []
    for event in events:
        source = event.get("source") or {}
        if "." in source.get("part", "0"):
            continue
        group, stream = source.get("log_group", ""), source.get("log_stream", "")
        ids = source.get("log_ids") or [source.get("log_id", "")]
        parts = source.get("parts") or [source.get("part", "0")] + ["0"] * (len(ids) - 1)
        claimed = [((group, stream, log_id), part) for log_id, part in zip(ids, parts, strict=True)]
        if any(key not in ledger for key, _ in claimed):
            unknown.append(str(event["event_id"]))
            continue
        claims.update(claimed)
        blocks.append((claimed, event.get("raw") or ""))
    pieces: dict[Key, set[str]] = defaultdict(set)
    for key, part in claims:
        pieces[key].add(part)
    texts: dict[Key, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for claimed, raw in blocks:
        for solution in islice(_readings(claimed, raw, ledger, pieces), 64):
            for (key, part), text in zip(claimed, solution, strict=True):
                texts[key][part].add(text)
    lost = [key for key, message in ledger.items() if not _whole(message, texts.get(key, {}))]
    duplicates = sorted({key for (key, _), count in claims.items() if count > 1})
    return Verdict(len(ledger), lost, duplicates, unknown)


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
