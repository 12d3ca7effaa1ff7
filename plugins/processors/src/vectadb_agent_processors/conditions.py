"""Which events a processor means: ``when:`` in the configuration. All that is given must hold; of a list, one."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from vectadb_agent_processors.patterns import Pattern, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_agent import Event


class When(BaseModel):
    """Conditions on an event. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    event_types: tuple[str, ...] = ()
    """Types of events, e.g. ``[log]``."""
    levels: tuple[str, ...] = ()
    """Log levels as the event's property ``level`` has them, in any case, e.g. ``[debug]``."""
    log_groups: tuple[str, ...] = ()
    """Names of log groups; ``*`` stands for any characters."""
    log_streams: tuple[str, ...] = ()
    """Names of log streams; ``*`` stands for any characters."""
    properties: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Properties by name, which must have exactly these values."""
    text: Pattern | None = None
    """A pattern (RE2) that must be found in the event's text."""

    def test(self) -> Callable[[Event], bool]:
        """Return the function that says whether an event is meant; of no condition at all: every one."""
        tests: list[Callable[[Event], bool]] = []
        if self.event_types:
            types = frozenset(self.event_types)
            tests.append(lambda event: event.event_type in types)
        if self.levels:
            levels = frozenset(level.casefold() for level in self.levels)
            tests.append(lambda event: str(event.properties.get("level", "")).casefold() in levels)
        for names, part in ((self.log_groups, "log_group"), (self.log_streams, "log_stream")):
            if names:
                tests.append(_place(names, part))
        for name, value in self.properties.items():
            tests.append(_property(name, value))
        if self.text is not None:
            pattern = compiled(self.text)
            tests.append(lambda event: event.raw is not None and pattern.search(event.raw) is not None)
        return lambda event: all(test(event) for test in tests)


def _place(names: tuple[str, ...], part: str) -> Callable[[Event], bool]:
    def test(event: Event) -> bool:
        place = getattr(event.block.stream, part) if event.block is not None else ""
        return any(fnmatch.fnmatchcase(place, name) for name in names)

    return test


def _property(name: str, value: Any) -> Callable[[Event], bool]:
    return lambda event: type(event.properties.get(name)) is type(value) and event.properties[name] == value
