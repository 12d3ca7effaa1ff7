"""Pages of log events, decoded straight from the JSON of the answer.

botocore would take six times as long and build every page twice, as plain objects and as checked ones: at full speed
that is most of the agent's work and of its memory.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


class LogEvent(msgspec.Struct, rename="camel", gc=False):
    """One event of FilterLogEvents or GetLogEvents; the latter gives no id and no stream. Times in milliseconds."""

    timestamp: int
    message: str = ""
    ingestion_time: int | None = None
    event_id: str | None = None
    log_stream_name: str = ""


class EventPage(msgspec.Struct, rename="camel"):
    """One answer. ``next_token`` is FilterLogEvents', ``next_forward_token`` GetLogEvents'."""

    events: list[LogEvent] | None = None
    next_token: str | None = None
    next_forward_token: str | None = None


_KEY = "EventPage"
_decoder = msgspec.json.Decoder(EventPage)


def decode(body: bytes) -> EventPage:
    """Decode an answer's body.

    Raises:
        ValueError, msgspec.ValidationError: it is no page of events.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # half of a surrogate pair is legal for AWS, and not for msgspec
        return msgspec.convert(json.loads(body), EventPage)


def take_over(*, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Called by botocore before it decodes an answer: do it ourselves, and leave it nothing to do."""
    if response_dict["status_code"] == 200 and response_dict["body"][:1] == b"{":
        customized_response_dict[_KEY] = decode(response_dict["body"])
        response_dict["body"] = b"{}"


def page_of(response: dict[str, Any]) -> EventPage:
    """The page in a response of botocore, whoever decoded it.

    Raises:
        msgspec.ValidationError: it is no page of events.
    """
    page = response.pop(_KEY, None)
    return page if page is not None else msgspec.convert(response, EventPage)
