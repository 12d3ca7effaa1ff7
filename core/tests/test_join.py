"""Joining: every text that goes in comes out in exactly one block, in order, unaltered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import ComponentConfig, LogRecord, LogStream, Parser, Piece
from vectadb_agent import join as joining
from vectadb_agent.join import Joined, Joiner

if TYPE_CHECKING:
    from collections.abc import Sequence


class Bracketed(Parser):
    """A toy grammar: `<` opens a block, `>` closes it, `~` in a line hands the rest of it to others."""

    name = "bracketed"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        pieces: list[Piece] = []
        inside = state is not None
        while text:
            if not inside and not text.startswith("<"):
                cut = text.find("<") if "<" in text else len(text)
                pieces.append(Piece(text[:cut], "other"))
                text = text[cut:]
                continue
            if inside and text.startswith("~"):
                pieces.append(Piece(text, "other"))
                break
            kind = "continue" if inside else "start"
            end = text.find(">")
            cut = end + 1 if end >= 0 else len(text)
            pieces.append(Piece(text[:cut], kind, closes=end >= 0, state=(state or 0) + 1))
            inside = end < 0
            text = text[cut:]
        return pieces if any(piece.kind != "other" for piece in pieces) or state is not None else ()


class Shouting(Parser):
    """Takes lines in capitals as whole blocks; asked second."""

    name = "shouting"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        return [Piece(text, "whole")] if text.isupper() else ()


PARSERS = (Bracketed(ComponentConfig(type="x")), Shouting(ComponentConfig(type="y")))


def stream(name: str = "s") -> LogStream:
    return LogStream("test", "1", "eu", "/g", name)


def record(message: str, number: int, name: str = "s") -> LogRecord:
    return LogRecord(stream(name), str(number), number * 1_000_000, message)


def feed(joiner: Joiner[int], messages: Sequence[str]) -> list[Joined[int]]:
    done: list[Joined[int]] = []
    for number, message in enumerate(messages):
        done += joiner.add(record(message, number), number, 0)
    return done + joiner.flush()


def texts(done: Sequence[Joined[int]]) -> list[tuple[str, ...]]:
    return [joined.block.lines for joined in done]


def test_a_block_of_several_records_has_the_head_s_id_and_all_records() -> None:
    (joined,) = feed(Joiner(PARSERS), ["<a", "b", "c>"])
    assert joined.owner == 0
    assert joined.block.head.log_id == "0"
    assert [r.log_id for r in joined.block.records] == ["0", "1", "2"]
    assert joined.block.text == "<a\nb\nc>"
    assert joined.tags == (0, 1, 2)


def test_a_record_cut_in_mid_line_gives_adjacent_pieces_with_their_numbers() -> None:
    first, second = feed(Joiner(PARSERS), ["<a", "b><c", "d>"])
    assert (first.block.lines, first.block.parts) == (("<a", "b>"), ("0", "0"))
    assert (second.block.lines, second.block.parts) == (("<c", "d>"), ("1", "0"))


def test_a_foreign_line_in_the_middle_goes_to_the_other_parser_and_the_block_stays_open() -> None:
    done = feed(Joiner(PARSERS), ["<a", "~plain", "b>"])
    assert texts(done) == [("~plain",), ("<a", "b>")]
    done = feed(Joiner(PARSERS), ["<a", "~LOUD", "b>"])
    assert [joined.owner for joined in done] == [1, 0]


def test_streams_do_not_disturb_each_other() -> None:
    joiner: Joiner[int] = Joiner(PARSERS)
    done = []
    for number, (name, message) in enumerate([("a", "<1"), ("b", "<2"), ("a", "x>"), ("b", "y>")]):
        done += joiner.add(record(message, number, name), number, 0)
    assert texts(done) == [("<1", "x>"), ("<2", "y>")]


def test_blocks_are_bounded_by_lines_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MAX_LINES", 3)
    assert texts(feed(Joiner(PARSERS), ["<", "b", "c", "d"])) == [("<", "b", "c"), ("d",)]
    monkeypatch.setattr(joining, "MAX_BYTES", 10)
    assert texts(feed(Joiner(PARSERS), ["<2345678", "9012", "x"])) == [("<2345678",), ("9012",), ("x",)]


def test_quiet_closes_a_block_by_what_the_source_has_read_through() -> None:
    joiner: Joiner[int] = Joiner(PARSERS)
    joiner.add(record("<a", 10), 0, 0)
    assert joiner.held_bytes == 2
    assert joiner.read_through(11_000_000) == []
    (joined,) = joiner.read_through(12_000_000)
    assert joined.block.lines == ("<a",)
    assert (len(joiner), joiner.held_bytes) == (0, 0)


def test_wall_clock_closes_a_block_where_the_source_says_nothing_and_after_a_minute_anyway() -> None:
    joiner: Joiner[int] = Joiner(PARSERS)
    joiner.add(record("<a", 1), 0, 0)
    assert joiner.expire(1_999_999, quiet=True) == []
    assert joiner.expire(59_000_000, quiet=False) == []
    assert len(joiner.expire(60_000_000, quiet=False)) == 1


class Failing(Parser):
    """Fails on some lines, also in the middle of its own block."""

    name = "failing"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        if "!" in text:
            raise ValueError("I did not think of that")
        return [Piece(text, "start" if state is None else "continue", state=1)] if text.startswith("#") else ()


def test_a_parser_that_raises_has_nothing_to_say_of_the_record(caplog: pytest.LogCaptureFixture) -> None:
    joiner: Joiner[int] = Joiner([Failing(ComponentConfig(type="failing")), Shouting(ComponentConfig(type="shouting"))])
    done = feed(joiner, ["#a", "#!", "LOUD!", "#b", "!", "#c"])
    assert sorted(texts(done)) == sorted([("#a", "#b", "#c"), ("#!",), ("LOUD!",), ("!",)])
    assert joiner.failed == 3
    assert [record.__dict__["failures"] for record in caplog.records] == [1, 2]


class Forgetful(Parser):
    name = "forgetful"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        return [Piece(text[1:], "start")]


def test_a_parser_that_loses_text_does_not_get_the_record() -> None:
    (joined,) = feed(Joiner((Forgetful(ComponentConfig(type="x")),)), ["abc"])
    assert (joined.owner, joined.block.lines) == (None, ("abc",))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text("<>~aB\n", max_size=6)), max_size=30))
def test_nothing_is_lost_altered_or_put_in_two_blocks(messages: list[tuple[str, str]]) -> None:
    joiner: Joiner[int] = Joiner(PARSERS)
    done: list[Joined[int]] = []
    for number, (name, message) in enumerate(messages):
        done += joiner.add(record(message, number, name), number, 0)
        assert joiner.held_bytes >= 0
    done += joiner.flush()
    assert (len(joiner), joiner.held_bytes) == (0, 0)
    found: dict[str, dict[int, str]] = {}
    for joined in done:
        block = joined.block
        assert len({r.stream for r in block.records}) == 1
        assert [int(r.log_id) for r in block.records] == sorted({int(r.log_id) for r in block.records})
        for piece, line, part in zip(block.records, block.lines, block.parts, strict=True):
            assert int(part) not in found.setdefault(piece.log_id, {})
            found[piece.log_id][int(part)] = line
    for number, (_, message) in enumerate(messages):
        pieces = found[str(number)]
        assert 0 in pieces
        assert "".join(pieces[part] for part in sorted(pieces)) == message
