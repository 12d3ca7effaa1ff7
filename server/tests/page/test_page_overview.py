"""Overview, in a browser: its figures are the API's, and lead to the traces behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page


def tile(page: Page, name: str) -> Any:
    return page.locator(".tile").filter(has=page.get_by_text(name, exact=True)).get_by_role("link")


def test_figures_are_the_apis_and_lead_to_their_traces(page: Page, server: Any) -> None:
    stats = server.get("/api/v1/stats", since="-7d")
    page.goto(f"{server.url}/overview")
    tile(page, "Traces").wait_for()
    assert tile(page, "Traces").inner_text() == f"{stats['total']['traces']:,}"
    assert tile(page, "Failed").inner_text() == f"{stats['total']['failed']:,}"
    assert tile(page, "Error events").inner_text() == f"{stats['total']['errors']:,}"
    tile(page, "Failed").click()
    page.wait_for_url(re.compile(r"/traces\?status=error$"))
    failed = server.get("/api/v1/traces", since="-7d", status="error", limit=1000)["traces"]
    page.get_by_text(f"{len(failed)} in all", exact=True).wait_for()


def test_a_stretch_of_time_leads_to_its_traces(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/overview?since=-24h&agent=support-agent")
    chart = page.get_by_role("region", name="Traces", exact=True)
    stretch = chart.get_by_role("link").first
    stretch.wait_for()
    counts = [int(text) for text in re.findall(r": (\d+)", stretch.get_attribute("aria-label") or "")]
    stretch.click()
    page.wait_for_url(re.compile(r"/traces\?agent=support-agent&since=.*&until="))
    page.get_by_text(f"{sum(counts)} in all", exact=True).wait_for()
    page.go_back()
    tokens = page.get_by_role("region", name="Tokens by model")
    tokens.filter(has_text="gpt-4o-mini").wait_for()
    page.get_by_role("region", name="Cost by model").get_by_role("link").first.wait_for(state="attached")


def test_tools_by_what_failed(page: Page, server: Any) -> None:
    stats = server.get("/api/v1/stats", since="-7d")
    worst = max(stats["tools"], key=lambda tool: tool["errors"])
    page.goto(f"{server.url}/overview")
    tools = page.get_by_role("region", name="Tools", exact=True)
    busiest = max(stats["tools"], key=lambda tool: tool["count"])
    tools.get_by_role("row").nth(1).filter(has_text=busiest["name"]).wait_for()
    page.get_by_label("Order of Tools").select_option("errors")
    page.wait_for_url(re.compile("tools_by=errors"))
    assert worst["errors"] > 0
    first = tools.get_by_role("row").nth(1)
    first.filter(has_text=worst["name"]).wait_for()
    assert first.get_by_role("cell").nth(1).inner_text() == f"{worst['errors']:,}"
    first.get_by_role("link").first.click()
    page.wait_for_url(re.compile(r"/traces\?tool="))
    page.get_by_role("table").wait_for()


def test_nothing_in_this_time(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/overview?agent=nobody")
    page.get_by_role("heading", name="Nothing happened in this time").wait_for()
