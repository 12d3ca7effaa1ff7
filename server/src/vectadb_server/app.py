"""The application, built from what it works with; nothing is global."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.di import Provide

from vectadb_server.routes import (
    admin,
    auth,
    docs,
    enforce,
    errors,
    events,
    gate,
    health,
    ingest,
    page,
    reports,
    search,
    sessions,
    signing_in,
    stats,
    stream,
    traced,
    traces,
)
from vectadb_server.routes.bodies import Admission
from vectadb_server.routes.queries import only_known

if TYPE_CHECKING:
    from vectadb_server.services import Services


def routes(services: Services) -> Litestar:
    """Return the routes as an application.

    Raises:
        Undeclared: a handler does not say whom it is for.
    """
    admission = Admission(services.settings, services.metrics)
    following = services.following
    if following is not None:
        services.metrics.limit("followers", services.settings.max_followers, lambda: following.followers)
    modules = (health, reports, ingest, events, stream, traces, sessions, search, stats, auth, signing_in, admin, page)
    handlers: list[Any] = [handler for module in modules for handler in module.HANDLERS]
    app = Litestar(
        handlers,
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "admission": Provide(lambda: admission, sync_to_thread=False),
        },
        exception_handlers=errors.HANDLERS,
        guards=[only_known],
        middleware=[enforce.enforcement(services)],
        openapi_config=docs.openapi(),
        request_max_body_size=None,  # the routes that take bodies bound them, after decompression
        logging_config=None,
        debug=False,
    )
    enforce.check_declared(app)
    return app


def application(services: Services) -> gate.App:
    """Return what the HTTP server calls: the routes, around them the gate, and around all a span for each request."""
    return traced.traced(gate.gate(routes(services), services))
