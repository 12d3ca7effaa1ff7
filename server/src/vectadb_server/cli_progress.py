"""How far a command is, on stderr: a bar on a terminal, else a line every ten seconds."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERY = 10.0


class Told(Protocol):
    """Takes how much more was done, and what is being done."""

    def __call__(self, more: int, doing: str | None = None) -> None:
        """Tell it."""
        ...


@contextmanager
def progress(doing: str, unit: str, total: int | None = None) -> Iterator[Told]:
    """Show how far it is, of ``total`` units, ``None``: nobody knows."""
    if not sys.stderr.isatty():
        yield _lines(doing, unit, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if total is not None else []),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)

        def told(more: int, doing: str | None = None) -> None:
            bar.update(task, advance=more, description=doing)

        yield told


def _lines(doing: str, unit: str, total: int | None) -> Told:
    done, now, last = 0, doing, time.monotonic()
    of = "" if total is None else f" of {total:,}"

    def told(more: int, doing: str | None = None) -> None:
        nonlocal done, now, last
        done += more
        now = doing or now
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            print(f"{now}: {done:,}{of} {unit}", file=sys.stderr, flush=True)

    return told
