"""Health, API keys and signing in, in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from .conftest import looking, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server without events and keys, which the tests here make, one after the other."""
    with serving(tmp_path_factory.mktemp("own")) as made:
        yield made


def test_engines_capacity_and_agents(page: Page, server: Any) -> None:
    reading = {
        "pipeline": "prod",
        "partition": "/aws/lambda/<b>bold</b>",
        "read_through": "2026-01-31T12:00:00Z",
        "complete_through": {"300": "2026-01-31T11:54:00Z", "3600": "2026-01-31T11:00:00Z"},
    }
    for agent, reasons in (("host-1:/state", []), ("host-2:/state", ["pipeline prod: the sink is away"])):
        report = {"agent": agent, "version": "0.1.0", "reasons": reasons, "readings": [reading]}
        httpx.post(f"{server.url}/api/v1/agents/reports", json=report).raise_for_status()
    page.goto(f"{server.url}/status")
    engines = page.get_by_role("region", name="Engines")
    engines.get_by_text(re.compile(r"^[\d,]+ events$")).wait_for()
    assert engines.get_by_text("ok", exact=True).count() == 3
    page.get_by_role("region", name="Capacity").get_by_text("Memory").wait_for()
    agents = page.get_by_role("region", name="Agents", exact=True)
    assert "pipeline prod: the sink is away" in agents.inner_text()
    row = agents.get_by_role("row").filter(has_text="<b>bold</b>").first
    assert row.locator("time").first.get_attribute("datetime") == "2026-01-31T11:54:00.000Z"


def test_the_first_key_is_shown_once_and_signs_in_and_ends(browser: Browser, own: Any) -> None:
    with looking(browser, but="401") as page:  # the browser tells of what is refused
        # The first is an admin's, or who made it would be shut out: none can be made before the keys are listed.
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/api/v1/auth/keys", hold, times=1)
        page.goto(f"{own.url}/status")
        new = page.get_by_role("button", name="New key")
        new.wait_for()
        assert new.is_disabled()
        held[0].continue_()
        new.click()
        dialog = page.get_by_role("dialog", name="New API key")
        dialog.get_by_label("Name").fill("me")
        assert "first one" in dialog.inner_text()
        dialog.get_by_role("button", name="Make the key").click()
        key = dialog.locator(".secret").inner_text()
        assert re.fullmatch(r"vdb_[a-z0-9]{12}_[A-Za-z0-9]{32}", key)
        assert httpx.get(f"{own.url}/api/v1/traces").status_code == 401
        dialog.get_by_role("button", name="Done").click()
        page.get_by_role("row", name=re.compile("^me ")).wait_for()
        assert key not in page.content()
        # The cookie is not for scripts, and does not hold the key.
        [cookie] = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert key not in cookie["value"]
        assert page.evaluate("document.cookie") == ""

        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        old = httpx.get(f"{own.url}/api/v1/traces", cookies={cookie["name"]: cookie["value"]})
        assert old.status_code == 401
        # Afterwards it leads to a view, never to another site.
        for to, path in (("/overview", "/overview"), ("//evil.example/", "/traces"), ("/\\evil.example", "/traces")):
            page.goto(f"{own.url}/sign-in?to={to}")
            page.get_by_label("API key").fill(key)
            page.get_by_label("API key").press("Enter")
            page.wait_for_url(f"{own.url}{path}")
            page.get_by_role("button", name="Sign out").click()
            page.get_by_role("heading", name="Sign in").wait_for()
        page.goto(f"{own.url}/overview?since=-24h")
        field = page.get_by_label("API key")
        field.fill("vdb_wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("the key is not known here").wait_for()
        field.fill(key)
        field.press("Enter")
        page.get_by_role("heading", name="Nothing happened in this time").wait_for()
        assert page.url.endswith("/overview?since=-24h"), "the view that was asked for"

        page.goto(f"{own.url}/status")
        page.get_by_role("button", name="New key").click()
        dialog.get_by_label("Name").fill("an agent")
        dialog.get_by_role("button", name="Make the key").click()
        second = dialog.locator(".secret").inner_text()
        dialog.get_by_role("button", name="Done").click()
        assert httpx.post(f"{own.url}/api/v1/events", json={}, headers={"X-API-Key": second}).status_code == 422
        page.get_by_role("button", name="Revoke an agent").click()
        page.get_by_role("dialog", name="Revoke a key").get_by_role("button", name="Revoke", exact=True).click()
        page.get_by_role("row").filter(has_text="an agent").get_by_text("revoked").wait_for()
        assert httpx.post(f"{own.url}/api/v1/events", json={}, headers={"X-API-Key": second}).status_code == 401
        page.get_by_role("button", name="Revoke me").click()
        page.get_by_role("dialog", name="Revoke a key").get_by_role("button", name="Revoke", exact=True).click()
        page.get_by_role("heading", name="Sign in").wait_for()
