"""The web page: files that ``server/ui`` was built into, and the paths of its views, which all are one file.

Where a checkout has not built them, ``/`` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, get
from litestar.params import PathParameter

from vectadb_server.routes import accepting
from vectadb_server.routes.errors import Refusal

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

VIEWS = ("/", "/traces", "/traces/{trace_id:str}", "/search", "/live", "/overview", "/status", "/sign-in")
"""The paths that the page's router knows (``server/ui/src/App.tsx``). ``/health`` is the API's."""

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text becomes markup by a slip of ours or of a library: the browser refuses to.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HTML = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
UNBUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>VectaDB</title>
<h1>The page is not built</h1>
<p>This checkout has no web page yet. <b>Next:</b> run <code>make page</code> in it, then load this again.</p>
<p>Without the page: <code>vectadb traces</code>, or the <a href="/schema">API</a>.</p>
"""


@dataclass(frozen=True)
class Asset:
    """A built file. ``packed``: the same, compressed by gzip, where that pays."""

    kind: str
    body: bytes
    packed: bytes | None


def assets(directory: Traversable) -> dict[str, Asset]:
    """Return what was built beside the page by name, as it is served; nothing where nothing was built."""
    if not directory.is_dir():
        return {}
    files = {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file()}
    return {
        name: Asset(_KINDS[suffix], body, files.get(f"{name}.gz"))
        for name, body in files.items()
        if (suffix := f".{name.rpartition('.')[2]}") in _KINDS
    }


def html(directory: Traversable) -> bytes:
    """Return the page, or where it was not built what says how to."""
    page = directory.joinpath("index.html")
    return page.read_bytes() if page.is_file() else UNBUILT


_PLACE = resources.files("vectadb_server").joinpath("page")
_HTML_BODY = html(_PLACE)
BUILT = assets(_PLACE.joinpath("assets"))


@get(list(VIEWS), opt={"scope": "public"}, include_in_schema=False, media_type="text/html")
async def read_page() -> Response[bytes]:
    """Return the page, whichever of its views is asked for."""
    return Response(_HTML_BODY, headers=_HTML)


@get("/assets/{name:str}", opt={"scope": "public"}, include_in_schema=False)
async def read_asset(
    request: Request[Any, Any, Any], name: Annotated[str, PathParameter(description="Name of the file.")]
) -> Response[bytes]:
    """Return one of the page's files; its name has its digest in it, so browsers keep it for good."""
    asset = BUILT.get(name)
    if asset is None:
        raise Refusal(404, f"the page has no file {name!r}. Next: load the page again, it may be of another version")
    headers = {"Content-Type": asset.kind, "Cache-Control": "public, max-age=31536000, immutable"}
    if asset.packed is not None:
        headers["Vary"] = "Accept-Encoding"
        if accepting.packed(request):
            return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.body, headers=headers)


HANDLERS: list[Any] = [read_page, read_asset]
