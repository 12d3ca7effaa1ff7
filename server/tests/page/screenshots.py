"""``make screenshots``: every view in light and dark, and on a telephone, into ``screenshots/`` to be looked at."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import data
from .browser import chromium
from .conftest import looking, serving

TARGET = Path("screenshots")
SIZES = {"": (1440, 900), "-wide": (2560, 1300), "-telephone": (360, 740)}


def main() -> None:
    """Make them."""
    TARGET.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="vectadb-shots-", ignore_cleanup_errors=True) as name,
        serving(Path(name)) as server,
    ):
        now = datetime.now(UTC)
        server.take(data.demo(now))
        failing = server.trace(lambda trace: trace["session_id"] == "session-late-order")["trace_id"]
        long = server.trace(lambda trace: trace["spans"] >= 9)["trace_id"]
        views = {
            "traces": "/traces?since=-24h",
            "trace": f"/traces/{failing}",
            "trace-long": f"/traces/{long}",
            "conversation": f"/traces/{failing}?tab=conversation",
            "log": f"/traces/{failing}?tab=log",
            "graph": f"/traces/{long}?tab=graph",
            "search": "/search?q=which+order+was+not+found",
            "live": "/live",
            "overview": "/overview",
            "status": "/status",
            "sign-in": "/sign-in",
        }
        with chromium() as browser:
            for suffix, (width, height) in SIZES.items():
                for scheme in ("light", "dark") if not suffix else ("light",):
                    with looking(browser, viewport={"width": width, "height": height}, color_scheme=scheme) as page:
                        for view, path in views.items():
                            page.goto(server.url + path)
                            # Live keeps its connection open.
                            page.wait_for_load_state("load" if view == "live" else "networkidle")
                            if view == "live":
                                server.take(data.failing(now + timedelta(seconds=1), f"live-{scheme}{suffix}"))
                            page.wait_for_timeout(500)
                            page.screenshot(path=TARGET / f"{view}-{scheme}{suffix}.png")
    print(f"{len(list(TARGET.glob('*.png')))} pictures in {TARGET}/")


if __name__ == "__main__":
    main()
