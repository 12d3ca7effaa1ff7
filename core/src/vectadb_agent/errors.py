"""What can go wrong, one class a meaning. Whoever raises one says the place, what was found and what would be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class VectaDBAgentError(Exception):
    """Base of every error that this package raises on purpose."""


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a configuration file, with its place."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.text}" if self.path else f"{place}: {self.text}"


class ConfigError(VectaDBAgentError):
    """The configuration cannot be used. ``problems`` holds every mistake found, in file order; nothing was started."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(VectaDBAgentError):
    """The command line asks for something that cannot be; the text says what would be right."""


def unknown_name(option: str, name: str, known: Iterable[str]) -> UsageError:
    """The error where an option names what there is not."""
    return UsageError(f"{option} {name}: there is none of that name (configured: {', '.join(known)})")


class CheckError(VectaDBAgentError):
    """A component cannot work: credentials, permissions, endpoint. The text tells the user what to do.

    ``fatal`` is true where waiting cannot help (no credentials at all, an endpoint that is no VectaDB): ``run`` then
    ends with exit code 1. Where it is false, ``run`` warns and starts anyway, since the cause may pass by itself.
    """

    def __init__(self, message: str, *, fatal: bool = True) -> None:
        super().__init__(message)
        self.fatal = fatal


class AbsentError(CheckError):
    """What is to be read does not exist: there is nothing of it to wait for, and nothing of it is left out."""


class ParseError(VectaDBAgentError):
    """The block is this parser's, but malformed. The block is kept whole as a ``log`` event that notes this error."""


class RetryableError(VectaDBAgentError):
    """A sink could not take the batch now; the same batch is tried again.

    ``retry_after`` (seconds) is what the other side asked for, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(VectaDBAgentError):
    """A sink will never take this batch, however often it is tried. Its events go to the quarantine."""


class TooLargeError(PermanentError):
    """The batch is larger than the other side takes: it is split, and only an event too large by itself is refused."""


class StateError(VectaDBAgentError):
    """The state directory cannot be used: locked by another agent, written by a newer version, not writable."""
