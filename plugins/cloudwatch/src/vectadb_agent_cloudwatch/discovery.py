"""Which log groups there are, whose account it is, and where a group that has no checkpoint starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectadb_agent_cloudwatch.api import LogsApi
    from vectadb_agent_cloudwatch.quota import Turns

_NEW_GROUP_MARGIN = 300_000
"""Milliseconds before its creation that a new group's records may be dated: a machine may ship what it kept."""


@dataclass(frozen=True)
class FoundGroup:
    """A log group as AWS describes it. ``created`` is in milliseconds; ``account`` is empty where the ARN lacks."""

    name: str
    account: str
    created: int | None


def start_of(*, now: int, lookback: int, created: int | None, alive_since: int | None) -> int:
    """Where a group without a checkpoint starts, in milliseconds.

    ``lookback`` before ``now``; but a group ``created`` after ``alive_since``, the time up to which this agent (or the
    one whose checkpoints it has) knew all groups, is new, and is read from its creation on.
    """
    start = now - lookback
    if created is not None and alive_since is not None and created >= alive_since:
        start = min(start, created - max(lookback, _NEW_GROUP_MARGIN))
    return max(0, start)


async def find_groups(
    api: LogsApi, prefix: str | None, *, turns: Turns, limit: int = 50, attempts: int | None = None
) -> list[FoundGroup]:
    """All groups whose name starts with ``prefix``; without one, the first ``limit`` groups of the account.

    Raises:
        ApiError: they cannot be listed.
    """
    found: list[FoundGroup] = []
    token, seen = None, set[str]()
    while True:
        parameters: dict[str, Any] = {"limit": limit}
        if prefix is not None:
            parameters["logGroupNamePrefix"] = prefix
        if token is not None:
            parameters["nextToken"] = token
        response = await api.persist("DescribeLogGroups", parameters, dict, turns=turns, attempts=attempts)
        found += [_described(group) for group in response.get("logGroups") or ()]
        token = response.get("nextToken")
        if prefix is None or not token or token in seen:
            return found
        seen.add(token)


def _described(group: dict[str, Any]) -> FoundGroup:
    parts = str(group.get("logGroupArn") or group.get("arn") or "").split(":")
    return FoundGroup(group["logGroupName"], parts[4] if len(parts) > 4 else "", group.get("creationTime"))
