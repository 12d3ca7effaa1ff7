"""``GET /``: one page that lists the newest traces. It is a file by itself and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from litestar import Response, get

_PAGE = resources.files("vectadb_server.routes").joinpath("page.html").read_bytes()


def _hashes(tag: str) -> str:
    """What the policy calls the contents of the page's elements of that name, so that no others run."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), _PAGE, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found)


_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@get("/", opt={"scope": "public"}, include_in_schema=False, media_type="text/html")
async def read_page() -> Response[bytes]:
    """Return the page."""
    return Response(_PAGE, headers=_HEADERS)


HANDLERS: list[Any] = [read_page]
