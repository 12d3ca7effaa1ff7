"""``powertools``: the Logger of Powertools for AWS Lambda (Python; seen in 3.37): one JSON object a line.

https://docs.aws.amazon.com/powertools/python/latest/core/logger/ lists the keys. Without ``inject_lambda_context``
those of the function are missing; order, time format and ``location`` can be changed, and keys be added, by the user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vectadb_agent import ComponentConfig, Parser
from vectadb_agent_parsers.agent_events import block_of
from vectadb_agent_parsers.json_lines import event_of
from vectadb_agent_parsers.tracebacks import raised

if TYPE_CHECKING:
    from vectadb_agent import Block, Event

_decode = msgspec.json.Decoder().decode
_OTHERS = ("location", "function_request_id", "cold_start", "xray_trace_id", "sampling_rate")


class PowertoolsParser(Parser):
    """Log lines with their request, and their session where ``correlation_id`` is set.

    An exception makes an ``error`` with its type and message. All other keys are the event's properties.
    """

    name = "powertools"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make one event of a line."""
        text = block.text
        if text[:1] != "{" or '"service"' not in text or '"level"' not in text:
            return None
        try:
            members = _decode(text)
        except (ValueError, RecursionError):
            return None  # the json parser says what is wrong with it
        if "message" not in members or "timestamp" not in members or not any(key in members for key in _OTHERS):
            return None
        failed, kind = members.get("exception"), members.get("exception_name")
        event = event_of(members)
        if type(failed) is str or type(kind) is str:
            found = raised(failed) if type(failed) is str else None
            event.event_type = "error"
            event.properties["error.type"] = kind if type(kind) is str else found[0] if found else "Exception"
            if found:
                event.properties["error.message"] = found[1]
        return block_of("powertools", text, [event])
