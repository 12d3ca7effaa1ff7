"""What a benchmark found: rows of one table, for people or as JSON."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Row(msgspec.Struct, kw_only=True):
    """One measurement.

    ``measured`` and ``wanted`` are in ``unit``; ``at_least`` says on which side of ``wanted`` the good is. ``wanted``
    is ``None`` where a number is only told. ``runs`` are the single results of which ``measured`` is the median.
    """

    name: str
    what: str
    measured: float
    unit: str
    wanted: float | None = None
    at_least: bool = True
    runs: list[float] = []
    note: str = ""

    @property
    def good(self) -> bool | None:
        """Whether the measurement is on the right side; ``None`` where nothing is wanted."""
        if self.wanted is None:
            return None
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    @property
    def ratio(self) -> float | None:
        """How many times as good as wanted: above 1 is good, on either side."""
        if not self.wanted or not self.measured:
            return None
        return self.measured / self.wanted if self.at_least else self.wanted / self.measured


def median(values: Sequence[float]) -> float:
    """The middle of a few runs: one that was disturbed does not count."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0…1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.4999) - 1))]


def as_json(rows: Sequence[Row]) -> str:
    """The rows as a JSON array, with ``good`` and ``ratio``."""
    found = [msgspec.structs.asdict(row) | {"good": row.good, "ratio": row.ratio} for row in rows]
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def show(rows: Sequence[Row], write: Callable[[str], object] = print) -> None:
    """Write the rows as a table, the notes below their rows."""
    cells = [("what", "measured", "wanted", "ratio", "verdict")]
    cells += [
        (row.what, _number(row.measured, row.unit), _wanted(row), _ratio(row.ratio), _VERDICT[row.good]) for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for number, line in enumerate(cells):
        first, *others = (
            cell.ljust(width) if at in (0, 4) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        write("  ".join((first, *others)).rstrip())
        if number and (note := _note(rows[number - 1])):
            write(f"    {note}")


_VERDICT = {True: "good", False: "SHORT", None: ""}


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _wanted(row: Row) -> str:
    return "" if row.wanted is None else f"{'≥' if row.at_least else '≤'} {_number(row.wanted, row.unit)}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _note(row: Row) -> str:
    runs = f"runs: {', '.join(_number(run, '').strip() for run in row.runs)}" if len(row.runs) > 1 else ""
    return "; ".join(part for part in (runs, row.note) if part)
