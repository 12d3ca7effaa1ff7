"""Code of others, which may not come to an end: run within a time, or ended and told where it stood."""

from __future__ import annotations

import signal
import sysconfig
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_STDLIB = sysconfig.get_path("stdlib")


class _Overtime(BaseException):
    """Ends what runs. No ``Exception``: whoever tries again whatever fails would catch it, and go on for ever."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Run the block for at most so long.

    By the alarm signal rather than in a thread: what hangs is ended, and does not go on beside us. Hence only in the
    main thread, and not where code never returns from C; there the block runs as long as it likes.

    Raises:
        TimeoutError: it was ended; the text says where it stood.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def ring(*_: object) -> None:
        if running:
            raise _Overtime

    before = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except _Overtime as error:
        raise TimeoutError(f"did not end within {seconds:g} s{_place(error.__traceback__)}") from None
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def _place(stack: TracebackType | None) -> str:
    """Where it stood: the innermost line that is neither ours nor the standard library's."""
    for frame in reversed(traceback.extract_tb(stack)):
        ours = frame.filename == __file__ or frame.filename.startswith("<")
        if not ours and not (frame.filename.startswith(_STDLIB) and "site-packages" not in frame.filename):
            return f"; it stood at {Path(frame.filename).name}:{frame.lineno}, in {frame.name}"
    return ""
