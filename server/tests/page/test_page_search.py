"""Search, in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def results(page: Page) -> Any:
    return page.get_by_role("list", name="Results").locator(".result")


def test_words_are_found_marked_and_lead_into_the_trace(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/search")
    page.get_by_role("heading", name="Search everything").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("OrderNotFound 4711")
    page.wait_for_url(re.compile("q=OrderNotFound"))
    # Until the answer is there, what was found for the words typed so far stands.
    first = results(page).first
    first.locator("mark", has_text=re.compile("^4711$")).first.wait_for()
    assert re.search(r"score\s*0?\.?\d", first.inner_text())
    first.get_by_role("button", name="What is around it").click()
    around = first.get_by_role("list", name="Around it, in its trace")
    around.wait_for()
    assert around.locator("li").count() > 2
    assert around.locator("li[aria-current]").count() == 1
    page.keyboard.press("j")
    assert results(page).first.get_attribute("aria-current") == "true"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/traces/[0-9a-f-]+\?event="))
    page.get_by_role("complementary", name="The selected span").get_by_role("heading").first.wait_for()
    page.go_back()
    results(page).first.wait_for()


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("agent", "support-agent", "agent_id"),
        ("type", "error", "event_type"),
        ("session", "session-late-order", "session_id"),
    ],
)
def test_filters_are_the_apis(page: Page, server: Any, name: str, value: str, field: str) -> None:
    with page.expect_response("**/api/v1/search") as answered:
        page.goto(f"{server.url}/search?q=order&mode=text&{name}={value}")
    asked, found = answered.value.request.post_data_json, answered.value.json()["results"]
    assert asked["filters"] == {name: value, "since": "-7d"}
    assert asked["mode"] == "text"
    assert {result["event"][field] for result in found} == {value}
    results(page).nth(len(found) - 1).wait_for()
    assert results(page).count() == len(found)


def test_similar_events_and_back_to_words(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/search?q=flights+Lisbon")
    results(page).first.get_by_role("link", name="Similar to this").click()
    page.wait_for_url(re.compile("like="))
    page.get_by_text("Similar to").first.wait_for()
    results(page).first.wait_for()
    page.get_by_role("button", name="Back to words").click()
    page.get_by_role("heading", name="Search everything").wait_for()
    page.goto(f"{server.url}/search?q=zzzqqqxxx&mode=text")
    page.get_by_role("heading", name="Nothing found").wait_for()


def test_hostile_text_is_shown_and_does_nothing(browser: Browser, server: Any) -> None:
    with looking(browser) as page:
        for query in ("script window pwned", "reversed isolated", "javascript click", "half a face"):
            page.goto(f"{server.url}/search?q={query}&mode=text&since=all")
            results(page).first.wait_for()
            assert page.evaluate("window.pwned") is None
            assert not page.locator("main script, main iframe, main img, main a[href^=javascript]").count()
