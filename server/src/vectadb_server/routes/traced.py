"""A span around each request, by OpenTelemetry's conventions for HTTP servers, as ASGI around everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectadb_server import logs, tracing

if TYPE_CHECKING:
    from vectadb_server.routes.gate import App, Message, Receive, Send

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_CONTEXT = (b"traceparent", b"tracestate")


def traced(app: App) -> App:
    """Wrap ``app``, where traces are sent. A request goes on with the trace that its ``traceparent`` names."""
    if not tracing.enabled():
        return app

    async def through(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        said = {"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]}
        parent = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CONTEXT}
        with tracing.span(method, said, kind="server", parent=parent) as span:
            token = logs.trace_id.set(tracing.trace_id())

            async def reply(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _answered(span, message)
                await send(message)

            try:
                await app(scope, receive, reply)
            finally:
                if route := scope.get("path_template"):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                logs.trace_id.reset(token)

    return through


def _answered(span: tracing.Span, message: Message) -> None:
    status = message["status"]
    span.set_attribute("http.response.status_code", status)
    number = dict(message.get("headers", ())).get(b"x-request-id", b"")
    span.set_attribute("vectadb.request_id", number.decode("latin-1"))
    if status >= 500:
        tracing.failed(span, str(status))
