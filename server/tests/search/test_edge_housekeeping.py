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


def sealing(index: Index) -> None:
    """Do what is due until a copy is being sealed."""
    while index._sealing is None:
        assert index.maintain(quiet=True)


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_index, "_SETTLED", -1.0)
    monkeypatch.setattr(edge_shards, "_FRESH", 500)


@pytest.mark.usefixtures("_eager")
def test_a_settled_shard_is_sealed_and_finds_what_it_found(
    index: Index, make: Callable[..., Document], tmp_path: Path
) -> None:
    index.upsert([make(f"load {n} word{n % 7}", event_type=("log", "error")[n % 2]) for n in range(600)])
    where = SearchFilter(event_types=("error",))
    before = [index.search("load word3", mode, where, 50) for mode in ("text", "semantic")]
    sealing(index)
    assert index._sealing is not None
    assert index._sealing.process.wait(120) == 0
    assert index.maintain(quiet=True)
    shard = index.shards["2026-01-01"]
    assert not shard.wants_seal
    assert shard._engine().info().indexed_vectors_count > 0
    assert sorted(path.name for path in tmp_path.joinpath("2026-01-01").iterdir()) == ["bounds.json", "engine"]
    after = [index.search("load word3", mode, where, 50) for mode in ("text", "semantic")]
    for old, new in zip(before, after, strict=True):
        assert [hit.score for hit in new] == pytest.approx([hit.score for hit in old], rel=2e-3)
    index.upsert([make("later")])
    assert index.documents == 601
    assert len(index.search("later", "text", EVERYTHING, 5)) == 1


@pytest.mark.usefixtures("_eager")
def test_a_copy_of_a_shard_that_was_written_meanwhile_is_thrown_away(
    index: Index, make: Callable[..., Document], tmp_path: Path
) -> None:
    index.upsert([make(f"load {n}") for n in range(600)])
    sealing(index)
    assert index._sealing is not None
    index.upsert([make("meanwhile")])
    index._sealing.process.wait(120)
    while index._sealing is not None:
        index.maintain(quiet=True)
    assert len(index.search("meanwhile", "text", EVERYTHING, 5)) == 1
    assert index.shards["2026-01-01"].wants_seal
    assert not list(tmp_path.glob("*/sealed-*"))


def test_a_crash_while_a_sealed_copy_takes_its_place_loses_nothing(
    tmp_path: Path, make: Callable[..., Document]
) -> None:
    index = Index(tmp_path, WordLlama())
    index.upsert([make("load")])
    index.close()
    shard = tmp_path / "2026-01-01"
    shard.joinpath("engine").rename(shard / "former")
    shard.joinpath("sealed-1").mkdir()
    again = Index(tmp_path, WordLlama())
    assert len(again.search("load", "text", EVERYTHING, 5)) == 1
    assert not shard.joinpath("sealed-1").exists()
    again.close()
