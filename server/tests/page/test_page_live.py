"""Live, in a browser: events as they come, paused, filtered, and where the connection was away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import data
from .conftest import looking, serving

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page


def spoken(text: str, agent: str = "live-agent") -> list[dict[str, Any]]:
    run = data.Run(agent, datetime.now(UTC), f"live-{text}")
    run.say("log", text)
    return run.events


def ready(page: Page) -> None:
    page.get_by_text("Connected", exact=True).wait_for()


def test_events_come_pause_and_filter(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/live?agent=live-agent")
    page.get_by_role("heading", name="Waiting for events").wait_for()
    ready(page)
    server.take([*spoken("not this one", "another-agent"), *spoken("the first"), *spoken("<b>the second</b>")])
    page.get_by_role("row").filter(has_text="<b>the second</b>").wait_for()
    assert page.get_by_role("row").filter(has_text="not this one").count() == 0
    page.keyboard.press("p")
    server.take(spoken("while paused"))
    page.get_by_role("button", name="Go on (1 waiting)").wait_for()
    assert page.get_by_role("row").filter(has_text="while paused").count() == 0
    page.get_by_role("button", name="Go on").click()
    row = page.get_by_role("row").filter(has_text="while paused")
    row.wait_for()
    assert row.get_attribute("aria-rowindex") == "2", "the newest stands first"
    page.get_by_label("Text in the events").fill("THIRD")
    page.get_by_role("heading", name="Waiting for events").wait_for()
    ready(page)
    server.take([*spoken("a fourth"), *spoken("a third")])
    page.get_by_role("row").filter(has_text="a third").click()
    page.wait_for_url("**/traces/*")
    page.go_back()


def test_a_server_that_was_away_is_marked(browser: Browser, tmp_path: Path) -> None:
    with looking(browser, but="net::ERR_") as page:  # the browser tells of connections that break
        with serving(tmp_path / "one") as first:
            page.goto(f"{first.url}/live")
            ready(page)
            first.take(spoken("before"))
            page.get_by_role("row").filter(has_text="before").wait_for()
            first.popen.kill()
            first.popen.wait(60)
        page.get_by_text("The connection is away").wait_for()
        port = urlsplit(first.url).port
        assert port is not None
        with serving(tmp_path / "one", port) as second:
            ready(page)
            page.get_by_role("row").filter(has_text="nothing was missed").wait_for()
            second.take(spoken("behind"))
            page.get_by_role("row").filter(has_text="behind").wait_for()
            rows = page.get_by_role("row").all_inner_texts()
            at = [next(i for i, row in enumerate(rows) if text in row) for text in ("behind", "missed", "before")]
            assert at == sorted(at), rows
            second.popen.kill()
            second.popen.wait(60)
        page.get_by_text("The connection is away").wait_for()
        with serving(tmp_path / "another", port):  # It knows nothing of what came before.
            page.get_by_role("row").filter(has_text="some of what came then is not here").wait_for()
            page.goto("about:blank")
