"""The server's own traces, by OpenTelemetry.

Where an endpoint is set (``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``), spans are sent
there by OTLP over HTTP; else nothing of it is even imported. All other variables of OpenTelemetry's SDK hold, too
(``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``, …). Attributes hold names, counts and sizes, never what was sent, asked
or found, and no text of an error.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vectadb_server import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
#: Seconds that the last spans are given to be sent when the server stops, and between two lines that none can be sent.
LAST, SPARSE = 2.0, 60.0

Attribute = str | int | float | bool
Kind = Literal["internal", "client", "server"]


class Span(Protocol):
    """What may still be said of a span while it lasts."""

    def set_attribute(self, key: str, value: Attribute) -> None:
        """Say one thing more."""
        ...

    def update_name(self, name: str) -> None:
        """Call it otherwise."""
        ...


class _Nothing:
    """In place of a span, where there are none."""

    def set_attribute(self, key: str, value: Attribute) -> None:
        """Do nothing."""

    def update_name(self, name: str) -> None:
        """Do nothing."""


_NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())
_tracer: Tracer | None = None


def span(
    name: str,
    attributes: Mapping[str, Attribute] | None = None,
    *,
    kind: Kind = "internal",
    parent: Mapping[str, str] | None = None,
) -> AbstractContextManager[Span]:
    """Return a span around what is done within; a child of the present one, or of the request with headers ``parent``.

    An exception ends it as failed, by the exception's kind. Where no traces are wanted, it costs a comparison.
    """
    if _tracer is None:
        return _NOTHING
    return _span(_tracer, name, attributes, kind, parent)


def failed(of: Span, kind: str) -> None:
    """Mark a span as failed; ``kind`` is of few values: an exception's name, a status."""
    from opentelemetry.trace import Span as Real
    from opentelemetry.trace import StatusCode

    of.set_attribute("error.type", kind)
    if isinstance(of, Real):
        of.set_status(StatusCode.ERROR)


def trace_id() -> str | None:
    """Return the id of the trace that the present span is part of, in hexadecimal."""
    if _tracer is None:
        return None
    from opentelemetry.trace import format_trace_id, get_current_span

    return format_trace_id(get_current_span().get_span_context().trace_id)


def enabled() -> bool:
    """Whether traces are sent."""
    return _tracer is not None


@contextmanager
def exporting(environ: Mapping[str, str]) -> Iterator[None]:
    """Send spans for as long as this lasts, if the environment names an endpoint. It never fails, nor waits long."""
    global _tracer  # noqa: PLW0603 - one for each process, as the context of spans is
    provider = _provider(environ)
    if provider is None:
        yield
        return
    _tracer = provider.get_tracer("vectadb_server", __version__)
    try:
        yield
    finally:
        _tracer = None
        # An endpoint that is away would hold this up for half a minute; what is left then is not worth it.
        last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(LAST)


def _provider(environ: Mapping[str, str]) -> TracerProvider | None:
    endpoint = next((environ[name] for name in _ENDPOINTS if environ.get(name, "").strip()), None)
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if endpoint is None or off or environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none":
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        text = "no traces are sent: %s is %s. Next: set it to http/protobuf, and the endpoint to its port (4318)"
        _log.warning(text, _PROTOCOLS[1], protocol)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        text = "no traces are sent, though an endpoint is set: %s. Next: pip install 'vectadb-server[otel]'"
        _log.warning(text, error)
        return None
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "vectadb"}))
    try:
        exporter = OTLPSpanExporter()
    except Exception as error:  # noqa: BLE001 - of a wrong endpoint or certificate; the server does without
        _log.warning("no traces are sent: %s. Next: check OTEL_EXPORTER_OTLP_ENDPOINT", error)
        return None
    logging.getLogger(_EXPORTER_LOG).addFilter(_Sparse())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _log.info("traces of this server are sent by OpenTelemetry")
    return provider


class _Sparse(logging.Filter):
    """Lets a line through now and then: an endpoint that is away fails several times a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + SPARSE
        return True


@contextmanager
def _span(
    tracer: Tracer,
    name: str,
    attributes: Mapping[str, Attribute] | None,
    kind: Kind,
    parent: Mapping[str, str] | None,
) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None if parent is None else TraceContextTextMapPropagator().extract(dict(parent))
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except asyncio.CancelledError:
            raise  # Whoever asked has left; that is no failure.
        except BaseException as error:
            failed(made, type(error).__name__)
            raise
