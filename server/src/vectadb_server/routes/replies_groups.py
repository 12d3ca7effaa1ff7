"""The replies about sessions and agents."""

from __future__ import annotations

import msgspec

from vectadb_server.model import SpanStatus, Tokens
from vectadb_server.routes.replies import TraceReply
from vectadb_server.stores.base import Group
from vectadb_server.times import rfc3339


class GroupFigures(msgspec.Struct):
    """Over the traces that started in the time asked about.

    ``first_seen``, ``last_seen``: first start and last end. ``failed``: traces that ended in an error. ``status``: of
    the newest trace. ``complete``: whether the figures are over all of them, or only over the newest of very many.
    """

    first_seen: str
    last_seen: str
    status: SpanStatus
    traces: int
    failed: int
    events: int
    errors: int
    tokens: Tokens
    cost_usd: float | None
    complete: bool


class SessionReply(GroupFigures):
    """A session. ``agents``: those that took part."""

    session_id: str
    agents: list[str]


class AgentReply(GroupFigures):
    """An agent. The figures are of the traces it took part in, each as a whole."""

    agent_id: str


class SessionPage(msgspec.Struct):
    """Sessions, the one with the newest trace first."""

    sessions: list[SessionReply]
    next_cursor: str | None


class AgentPage(msgspec.Struct):
    """Agents, the one with the newest trace first."""

    agents: list[AgentReply]
    next_cursor: str | None


class WholeSession(msgspec.Struct):
    """One session and a page of its traces, newest start first."""

    session: SessionReply
    traces: list[TraceReply]
    next_cursor: str | None


def session_reply(group: Group) -> SessionReply:
    """Return the session as replies carry it."""
    return SessionReply(*_figures(group), session_id=group.id, agents=group.agents)


def agent_reply(group: Group) -> AgentReply:
    """Return the agent as replies carry it."""
    return AgentReply(*_figures(group), agent_id=group.id)


def _figures(group: Group) -> tuple[str, str, SpanStatus, int, int, int, int, Tokens, float | None, bool]:
    return (
        rfc3339(group.first),
        rfc3339(group.last),
        group.status,
        group.traces,
        group.failed,
        group.events,
        group.errors,
        group.tokens,
        group.cost_usd,
        group.complete,
    )
