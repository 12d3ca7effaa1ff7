"""``drop``: leaves out the events that its conditions mean. A record of which nothing is left counts as filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vectadb_agent import ComponentConfig, Processor
from vectadb_agent_processors.conditions import When

if TYPE_CHECKING:
    from vectadb_agent import Event


class DropConfig(ComponentConfig):
    """Options of ``drop``."""

    when: When
    """Which events: ``event_types``, ``levels``, ``log_groups``, ``log_streams``, ``properties``, ``text``."""


class DropProcessor(Processor):
    """Leaves out the events that ``when`` means."""

    name: ClassVar[str] = "drop"
    Config: ClassVar[type[ComponentConfig]] = DropConfig

    def __init__(self, config: DropConfig) -> None:
        super().__init__(config)
        if config.when == When():
            raise ValueError("when: at least one condition is wanted; with none, every event would be left out")
        self._means = config.when.test()

    def process(self, event: Event) -> Event | None:
        """See :class:`Processor`."""
        return None if self._means(event) else event
