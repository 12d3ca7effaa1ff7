"""Of the whole suite: what running it in several processes asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_configure() -> None:
    """Forget how wide somebody's terminal is (pytest-xdist tells its workers): what programs print follows COLUMNS."""
    os.environ.pop("COLUMNS", None)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Escape what UTF-8 cannot carry: hostile texts get into captured logs, and a worker that sends one would end."""
    report: dict[str, Any] | None = _escaped((yield))
    return report


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_escaped(key): _escaped(held) for key, held in value.items()}
        case list() | tuple():
            return type(value)(map(_escaped, value))
        case _:
            return value
