from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest

from vectadb_server import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("vectadb_server", "uvicorn.error")}
    yield io.StringIO()
    root.handlers[:], level = kept
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_lines_are_json_with_what_the_call_gave(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    token = logs.request_id.set("r-1")
    logging.getLogger("vectadb_server.x").info("took %s", "é\n\ud800", extra={"count": 3, "odd": object})
    logs.request_id.reset(token)
    logging.getLogger("vectadb_server.x").debug("not this")
    [line] = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["time"].endswith("Z")
    assert (said["level"], said["logger"], said["request_id"]) == ("info", "vectadb_server.x", "r-1")
    assert said["message"] == "took é\n\\ud800"


def test_tracebacks_stay_in_their_line(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("vectadb_server").exception("failed")
    [line] = stream.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["traceback"]


def test_for_people_control_characters_are_harmless() -> None:
    record = logging.makeLogRecord({"msg": "a\x1b[2Jb\nc", "levelname": "INFO", "n": 5})
    assert logs.ForPeople(colour=False).format(record).endswith(r" info     a\x1b[2Jb\nc  (n=5)")
    assert logs.ForPeople(colour=True).format(record).count("\x1b") == 2
