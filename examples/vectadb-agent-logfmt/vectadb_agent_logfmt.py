"""The parser ``logfmt``: lines such as ``level=info msg="hello there" trace_id=4f1c``."""

import re

from vectadb_agent import Block, Event, Parser, errors, hookimpl

VECTADB_AGENT_API = 1
_PAIR = re.compile(r'\s*([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?(?=\s|$)')
_KNOWN = {"level", "lvl", "msg", "time", "ts"}


class LogfmtParser(Parser):
    """Lines of key=value pairs, as Go's loggers write them; at least one of level, lvl, msg, time and ts is there."""

    name = "logfmt"

    def parse(self, block: Block) -> list[Event] | None:
        """Make an event of the line."""
        text, at, pairs = block.text.rstrip(), 0, dict[str, str]()
        while at < len(text) and (found := _PAIR.match(text, at)):
            value = found[2] or ""
            pairs[found[1]] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            at = found.end()
        if not _KNOWN & {*pairs}:
            return None  # not mine: the next parser is asked
        if at < len(text):  # mine, but malformed: kept whole, with this noted
            raise errors.ParseError(f"character {at + 1}: no key=value: {text[at : at + 20]!r}")
        level = (pairs.get("level") or pairs.get("lvl") or "").lower()
        return [
            Event(
                event_type="error" if level in {"error", "fatal", "panic"} else "log",
                trace_id=pairs.pop("trace_id", None),
                request_id=pairs.pop("request_id", None),
                properties={**pairs, "message": pairs.get("msg", "")},
            )
        ]


@hookimpl
def vectadb_register_parsers() -> list[type[Parser]]:
    """What this plugin brings."""
    return [LogfmtParser]
