"""``make bench-ui``: how quick the page is in Chromium, over a server with large data. Prints figures and bounds."""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectadb_server.routes import page as files

from . import data
from .browser import chromium
from .conftest import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PATIENCE = 1800.0  # seconds, for the indexer
_LOADS = 5
_WATCH = """
window.longest = 0;
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({type: 'longtask', buffered: true});
window.listed = new Promise(found => {
    (function look() {
        if (document.querySelectorAll('.table-body .table-row').length > 5) found(performance.now());
        else requestAnimationFrame(look);
    })();
});
"""
_SCROLL = """async selector => {
    const box = document.querySelector(selector);
    window.longest = 0;
    const until = performance.now() + 15000;
    let still = 0, last = -1;
    while (performance.now() < until && still < 30) {
        box.scrollBy(0, box.clientHeight);
        await new Promise(requestAnimationFrame);
        still = box.scrollTop === last ? still + 1 : 0;
        last = box.scrollTop;
    }
    return [window.longest, box.scrollTop];
}"""


def main() -> int:
    """Measure; return 0 where every figure keeps its bound."""
    options = argparse.ArgumentParser(prog="make bench-ui", description=__doc__)
    options.add_argument("--spans", type=int, default=50_000, help="of the large trace")
    options.add_argument("--traces", type=int, default=20_000, help="in the list")
    wanted = options.parse_args()
    found: list[tuple[str, float, float, str]] = []
    scripts = sum(len(gzip.compress(asset.body)) for name, asset in files.BUILT.items() if name.endswith(".js"))
    found.append(("JavaScript of all views, compressed", scripts / 1024, 250, "KB"))
    with (
        tempfile.TemporaryDirectory(prefix="vectadb-bench-", ignore_cleanup_errors=True) as directory,
        serving(Path(directory)) as server,
    ):
        _fill(server, wanted.spans, wanted.traces)
        with chromium() as browser:
            found.append(_first_view(browser, server))
            page = _page(browser)
            found += _list(page, server, wanted.traces)
            found += _trace(page, server, wanted.spans)
    for name, figure, bound, unit in found:
        print(f"{name:<66}{figure:>9,.0f} {unit:<3} (at most {bound:,.0f}) {'' if figure <= bound else 'MISSED'}")
    return int(any(figure > bound for _, figure, bound, _ in found))


def _fill(server: Server, spans: int, traces: int) -> None:
    now = datetime.now(UTC)
    print(f"a server with {traces:,} traces, and one of {spans:,} spans …", file=sys.stderr)
    small = []
    for number in range(traces):
        run = data.Run("research-agent", now - timedelta(minutes=30, seconds=number), f"bench-{number}")
        run.say("agent_start", "start", gen_ai__agent__name="research-agent", input=data.QUESTIONS[number % 6])
        run.say("agent_end", "end", gen_ai__agent__name="research-agent", output="The answer.")
        small += run.events
    server.take(small, _PATIENCE)
    server.take(data.enormous(spans, now - timedelta(minutes=10)), _PATIENCE)


def _page(browser: Browser) -> Page:
    """A page of its own context: nothing of another is in its cache."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(_WATCH)
    return page


def _first_view(browser: Browser, server: Server) -> tuple[str, float, float, str]:
    took: list[float] = []
    for _ in range(_LOADS):
        page = _page(browser)
        page.goto(f"{server.url}/traces?since=all")
        # Since the navigation began. Asked of the page: Playwright looks half a second apart after some time.
        took.append(page.evaluate("window.listed"))
        page.wait_for_load_state("networkidle")
        page.context.close()
    name = f"first view after load, empty cache: median of {_LOADS} ({min(took):,.0f}–{max(took):,.0f})"
    return (name, statistics.median(took), 1000, "ms")


def _list(page: Page, server: Server, traces: int) -> list[tuple[str, float, float, str]]:
    page.goto(f"{server.url}/traces?since=all")
    page.evaluate("window.listed")
    longest = 0.0
    body = page.locator(".table-body")
    for _ in range(traces):  # each time until nothing more comes for half a second
        took, _top = page.evaluate(_SCROLL, ".table")
        longest = max(longest, took)
        if "in all" in page.locator(".table-foot").inner_text():
            break
    rows = int(float(body.evaluate("body => body.clientHeight")) / 34)
    assert rows >= traces, f"only {rows} rows of {traces}"
    # Once more through all of them, which now are there.
    page.evaluate("document.querySelector('.table').scrollTop = 0")
    longest = max(longest, page.evaluate(_SCROLL, ".table")[0])
    return [(f"longest task while {rows:,} traces scroll by", longest, 100, "ms")]


def _trace(page: Page, server: Server, spans: int) -> list[tuple[str, float, float, str]]:
    page.goto(f"{server.url}/traces?q=archive&since=all")
    row = page.get_by_role("row").filter(has_text="Read the whole archive")
    row.wait_for()
    page.wait_for_load_state("networkidle")
    took: Any = page.evaluate(
        """async () => {
            const link = document.querySelector('.table-body .row-link');
            const began = performance.now();
            link.click();
            while (!document.querySelector('[role=treeitem]')) await new Promise(requestAnimationFrame);
            const shown = performance.now() - began;
            const box = document.querySelector('.waterfall');
            box.scrollTop = 1e9;
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            return [shown, performance.now() - began, document.querySelector('[role=tree]').ariaLabel];
        }"""
    )
    assert int(took[2].split()[0].replace(",", "")) >= spans * 0.9, took
    longest = page.evaluate(_SCROLL, ".waterfall")[0]
    return [
        (f"a trace of {took[2]} on screen after the click", took[0], 1000, "ms"),
        ("… and at its end by scrolling", took[1], 1000, "ms"),
        ("longest task while it scrolls by", longest, 100, "ms"),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
