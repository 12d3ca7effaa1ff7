"""What the index does when nobody asks: flush, sweep, close."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vectadb_server.embedding import WordLlama
from vectadb_server.stores import edge_index, edge_shards
from vectadb_server.stores.base import SearchFilter
from vectadb_server.stores.edge_index import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vectadb_server.stores.base import Document

EVERYTHING = SearchFilter()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path, WordLlama())
    yield made
    made.close()


def test_nothing_is_due_at_once(index: Index, make: Callable[..., Document]) -> None:
    index.upsert([make("load")])
    assert not index.maintain(quiet=True)


def test_a_settled_shard_is_flushed_once(
    index: Index, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_index, "_SETTLED", -1.0)
    index.upsert([make("load")])
    assert not index.maintain(quiet=False)
    assert index.maintain(quiet=True)
    assert not index.maintain(quiet=True)


def test_a_long_log_is_flushed_under_load(
    index: Index, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_index, "_UNFLUSHED", 3)
    index.upsert([make("load"), make("load")])
    assert not index.maintain(quiet=False)
    index.upsert([make("load")])
    assert index.maintain(quiet=False)
    assert not index.maintain(quiet=False)


def test_what_was_overwritten_is_swept(
    index: Index, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_index, "_SETTLED", -1.0)
    monkeypatch.setattr(edge_shards, "_DEAD", 1500)
    documents = [make("load") for _ in range(3000)]
    index.upsert(documents)
    index.delete("2026-01-01", [document.event_id for document in documents[:1000]])
    index.upsert(documents[1000:1499])
    while index.maintain(quiet=True):
        pass
    shard = index.shards["2026-01-01"]
    due = [shard.wants_sweep]
    index.delete("2026-01-01", [documents[2999].event_id])
    due.append(shard.wants_sweep)
    assert index.maintain(quiet=True)  # flushes first
    assert index.maintain(quiet=True)
    assert [*due, shard.wants_sweep] == [False, True, False]
    hits = index.search("load", "semantic", EVERYTHING, 5000)
    assert {hit.event_id for hit in hits} == {document.event_id for document in documents[1000:2999]}


def test_an_idle_shard_is_closed_and_opened_again(
    index: Index, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    index.upsert([make("load")])
    monkeypatch.setattr(edge_index, "_IDLE", -1.0)
    assert not index.maintain(quiet=False)
    assert index.maintain(quiet=True)
    assert not index.shards["2026-01-01"].is_open
    assert index.documents == index.shards["2026-01-01"].documents == 1
    assert not index.shards["2026-01-01"].is_open
    assert len(index.search("load", "hybrid", EVERYTHING, 5)) == 1


def test_the_longest_unused_shard_is_closed_when_many_are_open(
    index: Index, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ["2026-01-03", "2026-01-01", "2026-01-02"]
    for day in days:
        index.upsert([make("load", day=day)])
    monkeypatch.setattr(edge_index, "_OPEN", 2)
    assert index.maintain(quiet=False)
    assert not index.maintain(quiet=False)
    assert [day for day in days if index.shards[day].is_open] == days[1:]
    assert len(index.search("load", "hybrid", EVERYTHING, 5)) == 3
