"""Users' patterns. RE2, so that none takes more than linear time on any text."""

from __future__ import annotations

from typing import Annotated, Any

import re2
from pydantic import AfterValidator

MAX_MEMORY = 16 << 20
"""Bytes that one compiled pattern may take."""


def compiled(pattern: str) -> Any:
    """Compile a pattern.

    Raises:
        ValueError: RE2 does not take it; the text says why.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else str(error)
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(
            f"{pattern!r} is no pattern that RE2 takes: {reason} (no lookaround, no backreference)"
        ) from error


def _checked(pattern: str) -> str:
    compiled(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression in RE2's syntax, checked when the configuration is read."""
