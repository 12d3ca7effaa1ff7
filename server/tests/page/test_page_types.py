"""The page's types of the API are those of this server."""

from __future__ import annotations

import runpy
from pathlib import Path

UI = Path(__file__).parents[2] / "ui"


def test_the_types_are_made_of_what_the_server_says_of_itself(tmp_path: Path) -> None:
    build = runpy.run_path(str(UI / "build.py"))
    build["install"]()
    build["types"](tmp_path / "schema.ts")
    made = (tmp_path / "schema.ts").read_text(encoding="utf-8")
    held = (UI / "src" / "api" / "schema.ts").read_text(encoding="utf-8")
    assert held == made, "the API has changed. Next: make page-types, and commit what it makes"
