"""CloudWatch Logs' operations over a :class:`~.store.LogStore`: a request's JSON in, the answer's out."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent.testing.cloudwatch.store import NEWEST, OLDEST, PAGE_EVENTS, Group, LogStore, Page, Put, page

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from vectadb_agent.testing.cloudwatch.faults import Faults

_START = (-1, -1, -1)
_PER_LISTING = 50


class AwsError(Exception):
    """An answer that is an error: AWS's code and words for it, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Context(msgspec.Struct):
    """What an operation works with beside its request. ``now``: milliseconds."""

    store: LogStore
    faults: Faults
    dice: random.Random
    now: int


def call(operation: str, request: dict[str, Any], context: Context) -> dict[str, Any]:
    """Work one request.

    Raises:
        AwsError: it is refused, as AWS would.
    """
    work = _OPERATIONS.get(operation)
    if work is None:
        raise AwsError("UnknownOperationException", f"{operation} is not among {', '.join(_OPERATIONS)}")
    return work(request, context)


def _create_log_group(request: dict[str, Any], context: Context) -> dict[str, Any]:
    name = request["logGroupName"]
    if name in context.store.groups:
        raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists")
    context.store.create_group(name, context.now)
    return {}


def _delete_log_group(request: dict[str, Any], context: Context) -> dict[str, Any]:
    context.store.delete_group(_group(request, context).name)
    return {}


def _create_log_stream(request: dict[str, Any], context: Context) -> dict[str, Any]:
    group, stream = _group(request, context), request["logStreamName"]
    if stream in group.streams:
        raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists")
    group.streams[stream] = context.now
    return {}


def _put_log_events(request: dict[str, Any], context: Context) -> dict[str, Any]:
    group = _group(request, context)
    stream = _stream(group, request["logStreamName"])
    puts = [Put(event["timestamp"], event["message"]) for event in request["logEvents"]]
    if any(later.timestamp < put.timestamp for put, later in itertools.pairwise(puts)):
        raise AwsError("InvalidParameterException", "Log events in a single PutLogEvents request must be in order")
    good = [put for put in puts if context.now - OLDEST <= put.timestamp <= context.now + NEWEST]
    context.store.put(group, stream, good, context.now)
    if len(good) == len(puts):
        return {}
    old = sum(put.timestamp < context.now - OLDEST for put in puts)
    rejected = {"tooOldLogEventEndIndex": old} if old else {}
    if old + len(good) < len(puts):
        rejected["tooNewLogEventStartIndex"] = old + len(good)
    return {"rejectedLogEventsInfo": rejected}


def _describe_log_groups(request: dict[str, Any], context: Context) -> dict[str, Any]:
    store = context.store
    names = sorted(name for name in store.groups if name.startswith(request.get("logGroupNamePrefix") or ""))
    names, token = _listed(names, request)
    arn = f"arn:aws:logs:{store.region}:{store.account}:log-group:"
    described = [
        {
            "logGroupName": name,
            "arn": f"{arn}{name}:*",
            "logGroupArn": f"{arn}{name}",
            "creationTime": store.groups[name].created,
        }
        for name in names
    ]
    return {"logGroups": described} | token


def _describe_log_streams(request: dict[str, Any], context: Context) -> dict[str, Any]:
    streams = _group(request, context).streams
    names = sorted(name for name in streams if name.startswith(request.get("logStreamNamePrefix") or ""))
    names, token = _listed(names, request)
    return {"logStreams": [{"logStreamName": name, "creationTime": streams[name]} for name in names]} | token


def _listed(names: list[str], request: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    left = [name for name in names if name > request.get("nextToken", "")]
    listed = left[: request.get("limit") or _PER_LISTING]
    return listed, ({"nextToken": listed[-1]} if len(listed) < len(left) else {})


def _filter_log_events(request: dict[str, Any], context: Context) -> dict[str, Any]:
    group = _readable(request, context)
    names = frozenset(_stream(group, name) for name in request.get("logStreamNames") or ())
    if request.get("filterPattern"):
        raise AwsError("InvalidParameterException", "what stands in for AWS here knows no filter patterns")
    asked = {name: value for name, value in request.items() if name != "nextToken"}
    after = _position(request.get("nextToken"), group, asked, context)
    found = _page(group, request, context, after=after, streams=names, end=request.get("endTime", 2**62))
    events = [
        {
            "eventId": event.event_id,
            "logStreamName": event.stream,
            "timestamp": event.timestamp,
            "ingestionTime": event.ingested,
            "message": event.message,
        }
        for event in found.events
    ]
    token = {} if found.after is None else {"nextToken": _token(group, asked, found.after, context)}
    return {"events": events, "searchedLogStreams": []} | token


def _get_log_events(request: dict[str, Any], context: Context) -> dict[str, Any]:
    group = _readable(request, context)
    name = _stream(group, request["logStreamName"])
    asked = {name: value for name, value in request.items() if name != "nextToken"}
    sent = request.get("nextToken")
    after = _position(sent, group, asked, context)
    end = request.get("endTime", 2**62) - 1
    found = _page(group, request, context, after=after, streams=frozenset([name]), end=end)
    events = [
        {"timestamp": event.timestamp, "ingestionTime": event.ingested, "message": event.message}
        for event in found.events
    ]
    if sent and not events and found.after is None:
        following = sent  # the token that was sent comes back: the end
    else:
        reached = found.events[-1][:3] if found.events else after or _START
        following = _token(group, asked, reached, context)
    return {"events": events, "nextForwardToken": following, "nextBackwardToken": "b/none"}


def _page(
    group: Group,
    request: dict[str, Any],
    context: Context,
    *,
    after: tuple[int, int, int] | None,
    streams: frozenset[str],
    end: int,
) -> Page:
    faults, dice = context.faults, context.dice
    limit = min(request.get("limit") or PAGE_EVENTS, PAGE_EVENTS)
    thrown = dice.random()
    if thrown < faults.empty:
        return Page([], after or _START)
    if thrown < faults.empty + faults.short:
        limit = min(limit, dice.randint(1, 50))
    return page(group.between(request.get("startTime", 0), end, context.now, after=after, streams=streams), limit)


def _token(group: Group, asked: dict[str, Any], after: tuple[int, int, int], context: Context) -> str:
    """No two are alike, as AWS's."""
    numbers = (group.born, _checksum(asked), context.now, context.dice.getrandbits(32), *after)
    return "/".join(map(str, numbers))


def _position(token: str | None, group: Group, asked: dict[str, Any], context: Context) -> tuple[int, int, int] | None:
    if not token:
        return None
    try:
        born, checksum, issued, _, *after = map(int, token.split("/"))
        timestamp, ingested, number = after
    except ValueError:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.") from None
    if (born, checksum) != (group.born, _checksum(asked)):
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    if context.now > issued + context.faults.token_life * 1000:
        raise AwsError("InvalidParameterException", "The specified nextToken is expired.")
    return timestamp, ingested, number


def _checksum(asked: dict[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode(asked, order="sorted"))


def _readable(request: dict[str, Any], context: Context) -> Group:
    name = request["logGroupName"]
    if name in context.faults.denied:
        raise AwsError(
            "AccessDeniedException",
            f"User: arn:aws:iam::{context.store.account}:user/rig is not authorized to perform: logs:FilterLogEvents "
            f"on resource: arn:aws:logs:{context.store.region}:{context.store.account}:log-group:{name}:log-stream:",
        )
    return _group(request, context)


def _group(request: dict[str, Any], context: Context) -> Group:
    group = context.store.groups.get(request["logGroupName"])
    if group is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    return group


def _stream(group: Group, name: str) -> str:
    if name not in group.streams:
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
    return name


_OPERATIONS: dict[str, Callable[[dict[str, Any], Context], dict[str, Any]]] = {
    "CreateLogGroup": _create_log_group,
    "DeleteLogGroup": _delete_log_group,
    "CreateLogStream": _create_log_stream,
    "PutLogEvents": _put_log_events,
    "DescribeLogGroups": _describe_log_groups,
    "DescribeLogStreams": _describe_log_streams,
    "FilterLogEvents": _filter_log_events,
    "GetLogEvents": _get_log_events,
}
