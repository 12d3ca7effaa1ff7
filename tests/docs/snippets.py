"""The snippets of the documentation, and the scripts that run them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*.md")),
    *sorted(path for pattern in ("core", "plugins/*", "server") for path in ROOT.glob(f"{pattern}/README.md")),
]
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.(?:py|yaml|toml))\b")


@dataclass(frozen=True)
class Snippet:
    """A fenced block: its page, language and text; ``why`` it is not run, if it is not."""

    page: Path
    line: int
    language: str
    text: str
    why: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """Name of the file that the snippet is, if its first line says so."""
        found = _FILE.match(self.text)
        return found["name"] if found else None


def snippets(page: Path) -> list[Snippet]:
    """All of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["why"])
        for found in _FENCE.finditer(text)
    ]


def of(*languages: str) -> list[Snippet]:
    """All snippets in these languages, of all pages."""
    return [each for page in PAGES for each in snippets(page) if each.language in languages]


# What stands in for the programs of a machine that a test must not change, or that would not end.
_PRELUDE = """\
set -euo pipefail
vectadb() {
  if [ "$1" = serve ]; then shift; python -m tests.docs.serve_settings "$@"; return; fi
  local words=() word
  for word in "$@"; do
    case "$word" in
      TRACE_ID) word=$(command vectadb traces --limit 1 --json | python -c \
        'import json, sys; print(json.load(sys.stdin)["traces"][0]["trace_id"])') ;;
      KEY_ID) word=$(command vectadb keys list --json | python -c 'import json, sys
print(next(key["id"] for key in json.load(sys.stdin)["keys"] if key["name"] == "laptop"))') ;;
    esac
    words+=("$word")
  done
  command vectadb "${words[@]}"
}
vectadb-agent() {
  if [ "$1" = run ] && [[ " $* " != *" --drain "* ]]; then set -- "$@" --drain; fi
  command vectadb-agent "$@"
}
pip() {
  if [ "$*" = "install -e .[testing]" ]; then
    "$UV" pip install -q --python "$SANDBOX/bin/python" --no-deps --no-build-isolation --offline -e .
  else python -m tests.docs.known_packages "$@"; fi
}
make() { command make --silent --dry-run -C "$ROOT" "$@" > /dev/null; }
"""


def script(page: Path) -> str | None:
    """All that a page has its reader do, as one script; ``None`` where that is nothing."""
    parts = []
    for each in snippets(page):
        if each.language == "sh" and each.why is None:
            parts.append(f"echo '== {each}' >&2\n{each.text}wait\n")
        elif each.file is not None:
            # Files of a plugin are named from where its package was begun, in which the reader is by then.
            parts.append(f"cat > \"$PWD_AT_START/{each.file}\" <<'END_OF_SNIPPET'\n{each.text}END_OF_SNIPPET\n")
    if not any(part.startswith("echo") for part in parts):
        return None
    return f'{_PRELUDE}PWD_AT_START="$PWD"\n' + "".join(parts)
