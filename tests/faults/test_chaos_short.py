"""The rows of ``make chaos``, scaled down, each with its seed: none missing, none twice, none altered."""

from __future__ import annotations

import pytest

from benchmarks.chaos import ROWS, SEED


@pytest.mark.parametrize("name", ROWS)
def test_a_short_run_of_each_row_falls_short_of_nothing(name: str) -> None:
    rows = ROWS[name](SEED, True)
    assert rows
    assert not [row for row in rows if row.good is False], "\n".join(f"{row.what}: {row.note}" for row in rows)
