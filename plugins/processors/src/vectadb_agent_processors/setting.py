"""``set``: puts fields and properties into events, e.g. the agent's name or the environment."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, JsonValue

from vectadb_agent import ComponentConfig, Processor
from vectadb_agent_processors.conditions import When

if TYPE_CHECKING:
    from vectadb_agent import Event


class SetConfig(ComponentConfig):
    """Options of ``set``."""

    event_type: str | None = None
    """The event's type."""
    agent_id: str | None = None
    """The agent's name."""
    session_id: str | None = None
    """The session that the event is of."""
    properties: dict[str, JsonValue] = Field(default_factory=dict)
    """Properties by name."""
    overwrite: bool = False
    """Whether what an event has already gives way; a type always does."""
    when: When = When()
    """Which events; without a condition all."""


class SetProcessor(Processor):
    """Sets fields and properties of the events that ``when`` means."""

    name: ClassVar[str] = "set"
    Config: ClassVar[type[ComponentConfig]] = SetConfig

    def __init__(self, config: SetConfig) -> None:
        super().__init__(config)
        names = ("event_type", "agent_id", "session_id")
        self._fields = {name: value for name in names if (value := getattr(config, name)) is not None}
        if not self._fields and not config.properties:
            raise ValueError("nothing to set: give properties, agent_id, session_id or event_type")
        self._properties, self._overwrite = config.properties, config.overwrite
        self._means = config.when.test()

    def process(self, event: Event) -> Event | None:
        """See :class:`Processor`."""
        if not self._means(event):
            return event
        for name, value in self._fields.items():
            if self._overwrite or name == "event_type" or getattr(event, name) is None:
                setattr(event, name, value)
        for name, property_ in self._properties.items():
            if self._overwrite or name not in event.properties:
                event.properties[name] = copy.deepcopy(property_)
        return event
