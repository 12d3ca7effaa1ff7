"""Progress on a terminal: a bar; elsewhere a line now and then. Always to standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


@contextlib.contextmanager
def bar() -> Iterator[Callable[[str, float, str], None]]:
    """Show progress while the block runs: ``tell(what, part, words)`` with ``part`` from 0 to 1."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, part: float, words: str) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=1.0, words=words)
            shown.update(tasks[what], completed=part, words=words)

        yield tell


def _lines() -> Callable[[str, float, str], None]:
    last = 0.0

    def tell(what: str, part: float, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            last = now
            print(f"{what}: {part:.0%}  {words}", file=sys.stderr, flush=True)

    return tell
