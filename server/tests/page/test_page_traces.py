"""The list of traces, in a browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from . import data
from .conftest import looking, serving

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

ALL = {"limit": 1000, "since": "-7d"}


def listed(page: Page, count: int) -> None:
    """Wait until the list says that it has so many."""
    page.get_by_text(re.compile(rf"^{count} in all$")).wait_for()


def query(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_from_the_list_to_the_reason_in_one_click(page: Page, server: Any) -> None:
    page.goto(server.url)
    page.wait_for_url("**/traces")
    listed(page, len(server.get("/api/v1/traces", **ALL)["traces"]))
    page.get_by_role("row").filter(has_text="OrderNotFound").click()
    detail = page.get_by_role("complementary", name="The selected span")
    detail.get_by_role("heading", name="lookup_order").wait_for()
    detail.get_by_text("no order '4711'").first.wait_for()
    page.go_back()
    page.get_by_role("table").wait_for()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent", "support-agent"),
        ("session", "session-late-order"),
        ("tool", "calculator"),
        ("model", "gpt-4o-mini"),
        ("type", "error"),
        ("log_group", "/aws/lambda/research-agent"),
        ("min_duration", "7s"),
        ("status", "error,running"),
        ("q", "ordernotfound"),
        ("since", "-1h"),
    ],
)
def test_each_filter_is_the_apis(page: Page, server: Any, name: str, value: str) -> None:
    expected = len(server.get("/api/v1/traces", **{**ALL, name: value})["traces"])
    assert 0 < expected < len(server.get("/api/v1/traces", **ALL)["traces"])
    page.goto(f"{server.url}/traces?{name}={value}")
    listed(page, expected)


def test_filters_are_chosen_combined_and_taken_away(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/traces")
    page.get_by_label("Add a filter").select_option("agent")
    page.get_by_label("Agent").fill("support-agent")
    page.get_by_label("Agent").press("Enter")
    page.get_by_role("button", name="error", exact=True).click()
    page.keyboard.press("/")
    page.keyboard.type("4711")
    page.wait_for_url(re.compile("q=4711"))
    assert query(page) == {"agent": "support-agent", "status": "error", "q": "4711"}
    listed(page, len(server.get("/api/v1/traces", **ALL, **query(page))["traces"]))
    page.get_by_role("button", name="Remove the filter Agent").click()
    page.get_by_label("Time").select_option("all")
    page.wait_for_url(re.compile("since=all"))
    assert query(page) == {"status": "error", "q": "4711", "since": "all"}
    page.go_back()
    page.wait_for_url(lambda url: "since" not in url)
    page.goto(f"{server.url}/traces?q=there-is-no-such-thing")
    page.get_by_role("heading", name="No traces here").wait_for()
    page.get_by_role("button", name="Clear the filters").click()
    page.get_by_role("table").wait_for()


def test_brushing_the_histogram_chooses_the_time(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/traces")
    bars = page.get_by_role("img", name=re.compile("traces from"))
    box = bars.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + 10)
    page.mouse.up()
    page.wait_for_url(re.compile("since=.*until="))
    listed(page, len(server.get("/api/v1/traces", limit=1000, **query(page))["traces"]))


def test_rows_by_keyboard_and_its_help(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/traces")
    page.get_by_role("row").nth(3).wait_for()
    for key in "jjk":
        page.keyboard.press(key)
    assert page.locator(".table-row[aria-current]").get_attribute("aria-rowindex") == "2"
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    assert "next row" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/traces/[0-9a-f-]{36}"))


def test_times_in_both_zones(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/traces")
    first = page.get_by_role("row").nth(1).locator("time")
    here = first.inner_text()
    page.get_by_role("button", name="Local").click()
    utc = first.inner_text()
    assert first.get_attribute("datetime")[11:19] in utc  # type: ignore[index]
    assert here != utc
    page.reload()
    assert page.get_by_role("row").nth(1).locator("time").inner_text() == utc


def test_new_traces_come_by_themselves_while_live(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/traces?session=session-live")
    page.get_by_role("heading", name="No traces here").wait_for()
    page.get_by_role("button", name="Live", exact=True).click()
    run = data.Run("research-agent", datetime.now(UTC), "run-live", "session-live")
    run.start("Is anybody there?")
    run.finish("Yes.")
    server.take(run.events)
    page.get_by_role("row").filter(has_text="Is anybody there?").wait_for()


def test_first_run_the_first_event_and_a_restart_under_the_page(browser: Browser, tmp_path: Path) -> None:
    with looking(browser, but="net::ERR_") as page:  # the browser itself tells of connections that fail
        with serving(tmp_path) as empty:
            port = int(empty.url.rpartition(":")[2])
            page.goto(empty.url)
            page.get_by_role("heading", name="No events yet").wait_for()
            assert empty.url in page.locator(".copyable").nth(1).inner_text(), "the configuration names this server"
            plain = {"timestamp": data.rfc3339(datetime.now(UTC)), "agent_id": "a", "raw": "plain words"}
            empty.take([plain])  # It makes no trace that is listed.
            page.get_by_text("The first event is here").wait_for()
            page.get_by_role("link", name="in quarters of an hour").click()
            page.get_by_text("1 in all", exact=True).wait_for()
            page.go_back()
            page.get_by_text("The first event is here").wait_for()
            empty.take(data.failing(datetime.now(UTC)))
            page.get_by_role("row").filter(has_text="OrderNotFound").wait_for()
        page.get_by_role("row").filter(has_text="OrderNotFound").click()
        page.get_by_role("alert").wait_for()
        assert "does not answer" in page.get_by_role("alert").inner_text()
        with serving(tmp_path, port):
            page.get_by_role("button", name="Try again").click()
            page.get_by_role("complementary", name="The selected span").wait_for()
