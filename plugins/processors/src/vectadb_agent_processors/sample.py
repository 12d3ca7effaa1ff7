"""``sample``: keeps a share of the traces, each whole or not at all, and every error.

Whether a trace is kept follows from its id alone, so that every agent decides the same, and after a restart again. What
an error came of is kept only if its trace is: when the error comes, what led to it has gone by.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from vectadb_agent import ComponentConfig, Processor

if TYPE_CHECKING:
    from vectadb_agent import Event

_LEVELS = frozenset(("error", "critical", "fatal"))


class SampleConfig(ComponentConfig):
    """Options of ``sample``."""

    keep: float = Field(ge=0, le=1)
    """The share of traces that is kept, e.g. 0.1."""
    keep_errors: bool = True
    """Whether errors are kept whatever their trace: events of type ``error``, with a level from ERROR on, or with the
    property ``error.type``."""
    per: str = Field(default="trace", pattern="^(trace|session|stream)$")
    """What is kept whole: ``trace`` goes by the event's ``trace_id``, else ``request_id``, else ``session_id``, as
    printed; ``session`` by ``session_id`` first; ``stream``, and events without any id, by their log stream. Where a
    trace's lines do not all carry its id (a Lambda function's own lines between START and END), only ``stream`` keeps
    traces whole."""


class SampleProcessor(Processor):
    """Keeps a share of the traces, each whole or not at all, and every error."""

    name: ClassVar[str] = "sample"
    Config: ClassVar[type[ComponentConfig]] = SampleConfig

    def __init__(self, config: SampleConfig) -> None:
        super().__init__(config)
        self._below = round(config.keep * 2**64)
        self._keep_errors = config.keep_errors
        ids: dict[str, tuple[str, ...]] = {
            "trace": ("trace_id", "request_id", "session_id"),
            "session": ("session_id", "trace_id", "request_id"),
        }
        self._ids = ids.get(config.per, ())

    def process(self, event: Event) -> Event | None:
        """See :class:`Processor`."""
        if self._keep_errors and _is_error(event):
            return event
        key = next((value for name in self._ids if (value := getattr(event, name))), None)
        if key is None:
            stream = event.block.stream if event.block is not None else None
            key = "" if stream is None else f"{stream.log_group}\n{stream.log_stream}"
        drawn = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        return event if drawn < self._below else None


def _is_error(event: Event) -> bool:
    if event.event_type == "error" or "error.type" in event.properties:
        return True
    return str(event.properties.get("level", "")).casefold() in _LEVELS
