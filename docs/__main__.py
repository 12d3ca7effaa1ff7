"""``make docs``: writes the generated pages anew."""

from __future__ import annotations

from pathlib import Path

from docs import configuration, parsers

HERE = Path(__file__).parent
PAGES = {"configuration.md": configuration.page, "parsers.md": parsers.page}


def main() -> None:
    """Write every page that is not as it would be made."""
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name}")


if __name__ == "__main__":
    main()
