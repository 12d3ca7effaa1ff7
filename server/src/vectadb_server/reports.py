"""What agents report of themselves: how far each has read its log groups, and up to where nothing is missing."""

from __future__ import annotations

from typing import Annotated

import msgspec

MOST_READINGS = 2_000
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Line = Annotated[str, msgspec.Meta(max_length=2_000)]
_Time = Annotated[str, msgspec.Meta(max_length=40)]
_Age = Annotated[str, msgspec.Meta(max_length=20)]


class Reading(msgspec.Struct):
    """How far a pipeline has read a partition of its source, such as a log group; times are RFC 3339.

    ``read_through``: what was visible up to there is here. ``complete_through``: up to there it was read again, and
    nothing was missing, by the age at which that was done, seconds.
    """

    pipeline: _Text
    partition: _Text
    read_through: _Time | None = None
    complete_through: Annotated[dict[_Age, _Time], msgspec.Meta(max_length=16)] = {}


class Report(msgspec.Struct):
    """How an agent is doing. ``agent`` tells agents apart; ``reasons``: why it is not well."""

    agent: _Text
    version: _Text
    reasons: Annotated[list[_Line], msgspec.Meta(max_length=100)] = []
    readings: Annotated[list[Reading], msgspec.Meta(max_length=MOST_READINGS)] = []


class ToldReport(msgspec.Struct):
    """A report, and when it came: the server's time, microseconds."""

    at: int
    report: Report
