"""Record the OpenAI Agents SDK's log, with data, where it goes through somebody else's handler.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. The scenarios are those of ``../openai_agents/generate.py``. Each is recorded as:

- ``logging``: ``logging.basicConfig(format=…)``;
- ``lambda``: the handler that the Lambda runtime for Python puts on the root logger, in one invocation.

A message's first line alone has the frame. The root logger's other lines (httpx) stand between.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from awslambdaric import bootstrap
from tape import RECORDINGS, Tape, Truth, in_forms, main

spec = importlib.util.spec_from_file_location("openai_agents_generate", RECORDINGS / "openai_agents" / "generate.py")
assert spec is not None
assert spec.loader is not None
sdk = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sdk)

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configured() -> logging.Handler:
    """The handler of ``logging.basicConfig``."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, force=True)
    sdk.LOGGER.setLevel(logging.DEBUG)
    return logging.getLogger().handlers[0]


def runtimes() -> logging.Handler:
    """The handler of the Lambda runtime, which writes text to standard output."""
    root = logging.getLogger()
    bootstrap._setup_logging(bootstrap.LogFormat.TEXT, "", bootstrap.StandardLogSink())
    root.setLevel(logging.INFO)
    sdk.LOGGER.setLevel(logging.DEBUG)
    return root.handlers[0]


def invoked(play: sdk.Play) -> sdk.Play:
    """In the ``lambda`` form all of a play is one invocation."""

    def played(tape: Tape, truth: Truth, form: str) -> None:
        if form == "lambda":
            request = str(uuid.uuid4())
            bootstrap._GLOBAL_AWS_REQUEST_ID = request
            invocation = truth.run("invocation", request)
            play(tape, truth, form)
            truth.ended(invocation)
        else:
            play(tape, truth, form)

    return played


sdk.HANDLERS.update({"logging": configured, "lambda": runtimes})
PLAYS = {f"openai_agents_{name}": (shows, invoked(play), out) for name, (shows, play, out) in sdk.PLAYS.items()}


if __name__ == "__main__":
    main(
        "framed", in_forms(PLAYS, ("logging", "lambda")), ["openai-agents", "openai", "awslambdaric"],
        printed_call=sdk.printed_call,
        printed_run=lambda text, run: run["name"] in text,
        printed_model=sdk.printed_model,
    )  # fmt: skip
