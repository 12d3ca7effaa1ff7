"""What a processor promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from vectadb_agent.testing.contracts.component import ComponentContract
from vectadb_agent.testing.contracts.samples import event_with, mutations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_agent.components import Processor


class ProcessorContract(ComponentContract):
    """What a processor promises: the same event gives the same, and none breaks it."""

    processor: ClassVar[type[Processor]]
    good: ClassVar[Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]] = ()
    """Fields of an event, and those of what comes of it, as far as they are named; ``None``: it is left out."""

    def kind(self) -> type[Processor]:
        """See :class:`ComponentContract`."""
        return self.processor

    def test_good_samples_become_what_is_expected(self) -> None:
        """Field by field."""
        assert self.good, "good: at least one sample is wanted"
        for number, (given, expected) in enumerate(self.good):
            found = self.made().process(event_with(given))
            if expected is None or found is None:
                assert found is expected, f"good[{number}] became {found}"
                continue
            for name, value in expected.items():
                assert getattr(found, name) == value, f"good[{number}].{name}"

    def test_the_same_event_gives_the_same(self) -> None:
        """Whatever went through before, also in another process."""
        one, other = self.made(), self.made()
        for given, _ in [*self.good, *reversed(self.good), *self.good]:
            assert one.process(event_with(given)) == other.process(event_with(given)) == one.process(event_with(given))

    def test_any_event_passes_or_is_left_out(self) -> None:
        """Nothing is raised, and what is made can be sent."""
        processor = self.made()
        texts = [str(given.get("raw", "")) for given, _ in self.good]
        for text in mutations(texts):
            properties = {"message": text, text[:20]: [text, {"deep": [None, True, 2**60, 1.5, text]}]}
            found = processor.process(event_with({"raw": text, "properties": properties, "session_id": text[:40]}))
            if found is not None:
                msgspec.json.encode(found.properties)
