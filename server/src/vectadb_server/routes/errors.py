"""What goes wrong, as ``{"error": code, "message": text, "request_id": …}`` with a status; never a stack trace."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from vectadb_server import logs
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable
from vectadb_server.wire import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import ExceptionHandlersMap

_log = logging.getLogger(__name__)

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
    503: "unavailable",
}


class Refusal(Exception):
    """A request is answered with an error: ``code`` for programs, ``message`` for people, ``more`` beside them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _CODES[status]
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def busy(message: str, *, code: str = "unavailable") -> Refusal:
    """Return a 503 that asks the client to come back in a second."""
    return Refusal(503, message, code=code, headers={"Retry-After": "1"})


def body_of(code: str, message: str, more: Mapping[str, Any] | None = None) -> bytes:
    """Return the body of an error reply."""
    fit = message.encode("utf-8", "backslashreplace").decode()
    number = {"request_id": logs.request_id.get() or "-"}
    return msgspec.json.encode({"error": code, "message": fit, **number, **(more or {})})


def _reply(refusal: Refusal) -> Response[bytes]:
    return Response(
        body_of(refusal.code, refusal.message, refusal.more),
        status_code=refusal.status,
        headers=refusal.headers,
        media_type=MediaType.JSON,
    )


def _refused(_: Request[Any, Any, Any], error: Refusal) -> Response[bytes]:
    return _reply(error)


def _bad_body(_: Request[Any, Any, Any], error: BadRequest) -> Response[bytes]:
    return _reply(Refusal(error.status, f"{error.path}: {error.message}"))


def _away(_: Request[Any, Any, Any], error: StoreUnavailable | SearchUnavailable) -> Response[bytes]:
    _log.warning("an engine is away: %s", error)
    return _reply(busy(str(error)))


def _by_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Say in our words what the framework found: no such route or method, or a parameter of the wrong form."""
    if error.status_code >= 500 or error.status_code not in _CODES:
        return _unforeseen(request, error)
    message, headers = error.detail, dict(error.headers or {})
    if error.status_code == 404:
        message = f"there is nothing at {request.url.path}. Next: GET /schema lists what there is"
    elif error.status_code == 405:
        message = f"{request.url.path} does not take {request.method}. Next: GET /schema lists what there is"
    elif isinstance(error.extra, list) and error.extra:
        message = "; ".join(_wrong(request, item.get("key", "body"), item["message"]) for item in error.extra)
    return _reply(Refusal(error.status_code, message, headers=headers))


def _wrong(request: Request[Any, Any, Any], name: str, message: str) -> str:
    """Say what is wrong with a parameter: what was found, and what is possible where there is a choice."""
    fields = request.route_handler.parsed_fn_signature.parameters.values()
    for field in fields:
        if isinstance(field.kwarg_definition, QueryParameter) and field.kwarg_definition.name == name:
            possible = _choice(field.annotation)
            found = f"found {request.query_params.get(name, '')[:200]!r}"
            return (
                f"{name}: {found}; expected one of {', '.join(possible)}" if possible else f"{name}: {found}: {message}"
            )
    return f"{name}: {message}"


def _choice(annotation: Any) -> list[str]:
    """Return what a parameter of this type can be, where that is one of a few."""
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    return [each for part in get_args(annotation) for each in _choice(part)]


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    number = logs.request_id.get() or "-"
    message = f"the server failed; the cause is in its log. Next: look there for request {number}"
    return Response(body_of("internal", message), status_code=500, media_type=MediaType.JSON)


def not_found(response: Response[Any]) -> Response[Any]:
    """Answer a 404 of the framework's own pages in our form."""
    if response.status_code != 404:
        return response
    return _reply(Refusal(404, "there is nothing there. Next: GET /schema lists what there is"))


HANDLERS: ExceptionHandlersMap = {
    Refusal: _refused,
    BadRequest: _bad_body,
    StoreUnavailable: _away,
    SearchUnavailable: _away,
    HTTPException: _by_litestar,
    Exception: _unforeseen,
}
