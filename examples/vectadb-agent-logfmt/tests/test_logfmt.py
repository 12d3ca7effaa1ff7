"""What every parser promises, on samples of logfmt."""

from vectadb_agent.testing import ParserContract
from vectadb_agent_logfmt import LogfmtParser


class TestLogfmt(ParserContract):
    parser = LogfmtParser
    good = (
        (
            'level=info msg="say \\"hi\\"" trace_id=4f1c n=7 cached',
            [{"event_type": "log", "message": 'say "hi"', "trace_id": "4f1c", "n": "7", "cached": ""}],
        ),
        ("ts=2026-01-01T00:00:00Z lvl=FATAL err=boom", [{"event_type": "error", "err": "boom"}]),
    )
    foreign = ("plain words", "a=1 is no logfmt", '{"level": "info"}')
    malformed = ('level=info msg="open',)
