"""What sources, parsers, processors and sinks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest
from pydantic import ValidationError

from vectadb_agent.components import Component, ComponentConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 30.0
"""Seconds after which something counts as hanging."""


class ComponentContract:
    """What sources, parsers, processors and sinks have in common."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options that the component is made with, as in YAML."""

    def kind(self) -> type[Component]:
        """Return the class under test."""
        raise NotImplementedError

    def made(self) -> Any:
        """Return a new component with the options."""
        kind = self.kind()
        return kind(kind.Config.model_validate({"type": kind.name, **self.options}))

    def test_it_has_a_name_and_a_description(self) -> None:
        """``name`` is what YAML calls it; the docstring is its reference text."""
        kind = self.kind()
        assert isinstance(kind.name, str)
        assert kind.name, 'set name = "…", the type used in YAML'
        assert (kind.__doc__ or "").strip(), (
            f"{kind.__name__} wants a docstring: `vectadb-agent plugins show` prints it"
        )

    def test_its_options_are_strict_and_described(self) -> None:
        """Unknown options are refused; each known one has a docstring."""
        config = self.kind().Config
        assert issubclass(config, ComponentConfig)
        for name, field in config.model_fields.items():
            assert field.description, f"option {name!r} wants a docstring below it"
        with pytest.raises(ValidationError):
            config.model_validate({"type": self.kind().name, **self.options, "no_such_option": 1})

    def test_it_tells_figures_quickly(self) -> None:
        """They have Prometheus' names, and counters end in ``_total``."""
        for figure in self.made().figures():
            assert figure.name.replace("_", "").isalnum(), figure.name
            assert figure.name.endswith("_total") == (figure.kind == "counter"), figure.name


async def checked(component: Component) -> None:
    """Have the component check itself: it answers, in lines of text."""
    with anyio.fail_after(PATIENCE):
        async with component:
            found = await component.check()
    assert isinstance(found, list)
    assert all(isinstance(line, str) for line in found)
