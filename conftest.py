"""Of the whole suite: what running it in several processes asks for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pytest_configure() -> None:
    """Forget how wide somebody's terminal is (pytest-xdist tells its workers): what programs print follows COLUMNS."""
    os.environ.pop("COLUMNS", None)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a random id by its parameter: each worker of pytest-xdist draws another, and all must collect alike."""
    return argname if isinstance(val, str) and _RANDOM_ID.fullmatch(val) else None


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
