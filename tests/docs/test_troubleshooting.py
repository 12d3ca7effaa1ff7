"""Every error and warning that agent and server print has its row in the page on troubleshooting."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROOMS = {"agent": [ROOT / "core/src", *sorted(ROOT.glob("plugins/*/src"))], "server": [ROOT / "server/src"]}
#: What ends in front of people. ``ValueError`` (an option) and refusals of a request say themselves what is right.
RAISED = {
    "ApiError CheckError ConfigError PermanentError Problem RetryableError StateError TooLargeError UsageError blame",
    "BadArchive CannotOpen CannotServe CannotStart CannotTake CommandError EmbeddingUnavailable IndexUnusable NoServer",
    "NotEqual SearchUnavailable SettingsError StoreFull StoreUnavailable",
}
NAMES = {name for line in RAISED for name in line.split()}
LOGGED = {"warning", "error", "exception", "critical"}
LOGGERS = {"log", "_log", "logger", "_logger"}


def messages(room: str) -> Iterator[tuple[str, str]]:
    """Where each message stands, and its text, with ``…`` for what is put in."""
    for folder in ROOMS[room]:
        for path in sorted(folder.rglob("*.py")):
            if "testing" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _is_told(node.func):
                    texts = [_text(each) for each in node.args]
                    found = max(filter(None, texts), key=len, default="")
                    if len(found.replace("…", "")) > 12:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", " ".join(found.split())


def _is_told(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute) and function.attr in LOGGED:
        return isinstance(function.value, ast.Name) and function.value.id in LOGGERS
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in NAMES


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return re.sub(r"%[sd]|%\.\df", "…", text)
        case ast.JoinedStr():
            return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return _text(node.left) + _text(node.right)
        case ast.IfExp():
            return _text(node.body)
    return ""


def patterns() -> list[re.Pattern[str]]:
    """The messages of the page, first cells of its tables, as patterns."""
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    written = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    return [_pattern(text) for text in written]


def _pattern(text: str) -> re.Pattern[str]:
    if len(text.replace("…", "").strip()) < 8:  # too short to be looked for: the message must be just that
        return re.compile(f"(?<![\\w ]){re.escape(text)}(?!\\w)")
    return re.compile(".*?".join(map(re.escape, text.split("…"))))


@pytest.mark.parametrize("room", ROOMS)
def test_every_message_has_its_row(room: str) -> None:
    known = patterns()
    told = dict(messages(room))
    assert len(told) > 50, "the messages are not found in the code any more"
    lacking = [f"{place}: {text}" for place, text in told.items() if not any(each.search(text) for each in known)]
    assert lacking == []


def test_every_row_is_of_a_message_that_there_is() -> None:
    code = "".join(
        re.sub(r'"\s*\n\s*f?r?"', "", path.read_text(encoding="utf-8"))
        for folders in ROOMS.values()
        for folder in folders
        for path in folder.rglob("*.py")
    )
    code = re.sub(r"\{[^{}\n]*\}|%[sd]", "…", code).replace("{{", "{").replace("}}", "}")
    stale = [each.pattern for each in patterns() if not each.search(code)]
    assert stale == []
