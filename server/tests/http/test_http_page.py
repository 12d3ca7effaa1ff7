"""How the page's files are handed out. What they do in a browser: ``server/tests/page``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.routes import page

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_every_view_is_the_page_and_nothing_but_its_own_files_run(client: Any) -> None:
    for path in page.VIEWS:
        reply = await client.get(path.replace("{trace_id:str}", "5b0f7c9e-7d0c-5a51-9b1a-6b1f0a1d2c3e"))
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/html")
        assert reply.headers["cache-control"] == "no-cache"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http:" not in reply.text
    assert "https:" not in reply.text
    for script in re.findall(r"<script[^>]*>", reply.text):
        assert "src=" in script, "the policy lets no script in the page itself run"


async def test_views_are_no_fallback_for_what_is_not_there(client: Any) -> None:
    assert (await client.get("/health")).json()["status"] == "ok"
    for path in (
        "/api/v1/nothing",
        "/nothing",
        "/traces/a/b",
        "/assets/",
        "/assets/nothing.js",
        "/assets/..%2findex.html",
    ):
        reply = await client.get(path)
        assert reply.status_code == 404, path
        assert reply.json()["error"] == "not_found"


async def test_files_are_kept_for_good_and_packed(client: Any) -> None:
    html = (await client.get("/")).text
    names = re.findall(r"/assets/([\w.-]+)", html)
    assert any(name.endswith(".js") for name in names)
    for name in names:
        plain = await client.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
        packed = await client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
        assert plain.status_code == packed.status_code == 200
        assert "immutable" in plain.headers["cache-control"]
        assert plain.content == packed.content
        refusing = await client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip;q=0, identity"})
        assert "content-encoding" not in refusing.headers
        # A font is packed in itself.
        assert packed.headers.get("content-encoding") == (None if name.endswith(".woff2") else "gzip")
        assert "content-encoding" not in plain.headers


def test_a_checkout_that_has_not_built_it_says_how(tmp_path: Path) -> None:
    assert page.assets(tmp_path / "nowhere") == {}
    assert page.html(tmp_path) == page.UNBUILT
    assert b"make page" in page.UNBUILT
    (tmp_path / "index.html").write_bytes(b"built")
    assert page.html(tmp_path) == b"built"
