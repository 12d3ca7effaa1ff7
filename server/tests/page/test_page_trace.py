"""One trace, in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = (
    "/traces",
    *(f"/traces/{{failing}}{tab}" for tab in ("", "?tab=conversation", "?tab=log", "?tab=graph")),
    *("/search?q=order+failed", "/live", "/overview", "/status", "/sign-in"),
)


@pytest.fixture(scope="session")
def failing(server: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.trace(lambda trace: trace["session_id"] == "session-late-order")
    return found


@pytest.fixture(scope="session")
def hostile(server: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.trace(lambda trace: "<script>" in trace["name"])
    return found


def detail(page: Page) -> Any:
    return page.get_by_role("complementary", name="The selected span")


def test_what_a_span_says(page: Page, server: Any, failing: Any) -> None:
    page.goto(f"{server.url}/traces/{failing['trace_id']}")
    tree = page.get_by_role("tree")
    tree.get_by_role("treeitem").first.wait_for()
    assert tree.get_by_role("treeitem").count() == failing["spans"] == 5
    # The failure is what is shown first; e leads back to it.
    detail(page).get_by_role("heading", name="lookup_order").wait_for()
    tree.get_by_text("search_web").click()
    page.wait_for_url(re.compile("span="))
    detail(page).get_by_role("heading", name="search_web").wait_for()
    detail(page).get_by_text("needs_receipt").first.wait_for()
    detail(page).locator(".logged .ansi-fg-2.ansi-bold").first.wait_for()
    text = detail(page).inner_text()
    assert "refund policy" in text
    assert "needs_receipt: true" in text, "a result that is JSON is pretty"
    assert re.search(r"asked for by\s+LLM\s+gpt-4o-mini", text), "what led to it"
    coloured = detail(page).locator(".logged .ansi-fg-2.ansi-bold")
    assert coloured.first.inner_text().startswith("Invoking: `search_web`")
    assert "\x1b" not in text
    link = detail(page).get_by_role("link", name="CloudWatch").first.get_attribute("href")
    assert link is not None
    prefix, _, place = link.partition("#logsV2:log-groups/log-group/")
    assert prefix == "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1"
    stream = r"\d{4}\$252F\d\d\$252F\d\d\$252F\$255B\$2524LATEST"
    assert re.match(rf"\$252Faws\$252Flambda\$252Fsupport-agent/log-events/{stream}", place)
    assert re.search(r"\$3Fstart\$3D\d{13}\$26refEventId\$3Drun-failing-\d{6}$", place)
    page.reload()
    detail(page).get_by_role("heading", name="search_web").wait_for()
    page.keyboard.press("e")
    detail(page).get_by_role("heading", name="lookup_order").wait_for()


def test_waterfall_by_keyboard_folds_and_zooms(page: Page, server: Any, failing: Any) -> None:
    page.goto(f"{server.url}/traces/{failing['trace_id']}")
    items = page.get_by_role("treeitem")
    selected = page.locator("[role=treeitem][aria-selected=true] .name")
    selected.filter(has_text="lookup_order").wait_for()
    for key, name in (("k", "gpt-4o-mini"), ("k", "search_web"), ("ArrowLeft", "support-agent"), ("j", "gpt-4o-mini")):
        page.keyboard.press(key)
        selected.filter(has_text=name).wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.get_by_text("+4").wait_for()
    assert items.count() == 1
    page.keyboard.press("e")
    selected.filter(has_text="lookup_order").wait_for()
    assert items.count() == 5
    page.keyboard.press("z")
    page.wait_for_url(re.compile(r"zoom=2700\.000-"))
    page.get_by_role("button", name="Whole time").click()
    page.wait_for_url(lambda url: "zoom" not in url)


def test_conversation_raw_log_and_graph(page: Page, server: Any, failing: Any) -> None:
    page.goto(f"{server.url}/traces/{failing['trace_id']}")
    page.get_by_role("tab", name="Conversation").click()
    turns = page.locator(".turn")
    turns.first.wait_for()
    said = [text.split("\n")[0].split("\t")[0] for text in turns.all_inner_texts()]
    assert said == ["User", "Thought", "Calls", "Result of", "Thought", "Calls", "Error", "Error"]
    page.get_by_role("tab", name="Raw log").click()
    lines = page.locator(".raw-event")
    lines.first.wait_for()
    assert lines.count() == failing["events"]
    assert "/aws/lambda/support-agent" in lines.first.inner_text()
    lines.filter(has_text="Thought: Within 14 days").get_by_role("button").click()
    detail(page).get_by_role("heading", name="gpt-4o-mini").wait_for()
    page.get_by_role("tab", name="Graph").click()
    node = page.locator(".graph-node", has_text="gpt-4o-mini")
    assert "2 calls" in node.inner_text()
    page.locator(".graph-node", has_text="lookup_order").click()
    detail(page).get_by_role("heading", name="lookup_order").wait_for()
    page.get_by_role("button", name="More").click()
    assert "carry the same trace id" in page.get_by_label("Summary").inner_text()


def test_nothing_in_a_log_line_does_anything(page: Page, server: Any, hostile: Any) -> None:
    page.goto(f"{server.url}/traces")
    page.get_by_role("row").nth(1).wait_for()
    for tab in ("", "?tab=graph", "?tab=log", "?tab=conversation"):
        page.goto(f"{server.url}/traces/{hostile['trace_id']}{tab}")
        detail(page).locator(".log-event").first.wait_for()
        if not tab:
            page.get_by_role("button", name="More").click()
            for summary in detail(page).locator("summary").all():
                summary.click()
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("Object.keys(Object.prototype).length") == 0
        for tag in ("script", "iframe", "img", "svg svg", "[onerror]", "[onload]", "a[href^=javascript]"):
            assert page.locator(f"main {tag}").count() == 0, tag
    marks = set(page.locator(".conversation .control").all_inner_texts())
    assert {"U+202E", "U+2066", "U+200B", "ESC", "NUL", "BEL", "BS"} <= marks, "control characters are marks"
    said = page.locator(".conversation").inner_text()
    assert not set(said) & set("\u202e\u2066\u200b\x1b\x00\x07\x08")
    assert "<script>window.pwned = 1</script>" in said


def test_what_is_not_there_is_said(browser: Browser, server: Any) -> None:
    with looking(browser, but="404") as page:
        page.goto(f"{server.url}/traces/5b0f7c9e-7d0c-5a51-9b1a-6b1f0a1d2c3e")
        alert = page.get_by_role("alert")
        alert.wait_for()
        assert "no trace" in alert.inner_text()
        assert "Next:" in alert.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, server: Any, failing: Any, scheme: str) -> None:
    with looking(browser, color_scheme=scheme, bypass_csp=True) as page:
        for view in VIEWS:
            page.goto(server.url + view.format(failing=failing["trace_id"]))
            page.wait_for_load_state("networkidle")
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            bad = [
                (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"][:300])
                for each in found["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            assert bad == [], view


def test_on_a_telephone_nothing_is_wider_than_the_screen(browser: Browser, server: Any, failing: Any) -> None:
    with looking(browser, viewport={"width": 360, "height": 740}) as page:
        for view in VIEWS:
            page.goto(server.url + view.format(failing=failing["trace_id"]))
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        page.goto(f"{server.url}/status")
        nav = page.get_by_role("navigation", name="Views").bounding_box()
        here = page.get_by_role("link", name="Health").bounding_box()
        assert nav is not None
        assert here is not None
        assert here["x"] + here["width"] <= nav["x"] + nav["width"] + 1, "the view that one is in can be read"
        page.goto(f"{server.url}/traces/{failing['trace_id']}")
        assert not detail(page).is_visible()
        page.get_by_role("treeitem").nth(2).click()
        detail(page).get_by_role("heading", name="search_web").wait_for()
        page.get_by_role("button", name="Close").click()
        detail(page).wait_for(state="hidden")
