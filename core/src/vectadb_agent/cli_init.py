"""``vectadb-agent init``: asks a few questions and writes a configuration, with comments, that ``check`` accepts."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import anyio

from vectadb_agent import config
from vectadb_agent.components import Source
from vectadb_agent.errors import CheckError, UsageError
from vectadb_agent.host import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_T = TypeVar("_T")

ENDPOINT = "http://127.0.0.1:8080"
PATIENCE = 30.0
"""Seconds that the list of log groups may take."""
MOST_LISTED = 200

_TEMPLATE = """\
# Written by `vectadb-agent init`. Next: vectadb-agent check --config {file}
# Every option of a component: vectadb-agent plugins show cloudwatch (or auto, redact, vectadb …)

agent:
  state_dir: ./state             # checkpoints and the quarantine live here; one agent each
  # listen: 127.0.0.1:9464       # GET /metrics (Prometheus) and /health, beside the socket in state_dir

pipelines:
  main:
    agent_id: {agent_id}
    source:
      type: cloudwatch
      region: {region}
      log_groups:                # a name, or {{prefix: …}} for all that begin so, also those created later
{log_groups}
      poll_interval: 10s
      lookback: 5m               # where a group without a checkpoint starts
    parsers:
      # - {{type: regex, pattern: '(?P<level>ERROR|FATAL) (?P<message>.*)', event_type: error}}
      - type: auto               # LangChain, Lambda, JSON and the others, told by their marks
    # processors:
    #   - type: redact           # emails, keys, tokens and card numbers never leave this machine
    sinks: [vectadb]

sinks:
  vectadb:
    type: vectadb
    endpoint: {endpoint}
    api_key: "${{VECTADB_API_KEY:-}}"   # keep it in the environment
"""


class Answers(NamedTuple):
    """What a configuration is written from. Of ``log_groups`` those that end in ``*`` are prefixes."""

    region: str
    log_groups: Sequence[str]
    endpoint: str
    agent_id: str


def ask(region: str | None, log_groups: Sequence[str], endpoint: str | None, agent_id: str | None) -> Answers:
    """Ask for what is not given, at a terminal; elsewhere take what is usual.

    Raises:
        UsageError: this is no terminal, and region or log groups are not given.
    """
    usual_region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not sys.stdin.isatty():
        region = region or usual_region
        if not region or not log_groups:
            raise UsageError(
                "this is no terminal to ask at: name --region (or set AWS_REGION) and --log-group, which may be "
                "repeated; NAME* stands for all groups that begin so"
            )
        return Answers(region, log_groups, endpoint or ENDPOINT, agent_id or "agent")
    region = region or _question("AWS region", usual_region or "us-east-1")
    groups = list(log_groups) or _choose(region)
    endpoint = endpoint or _question("VectaDB's address", ENDPOINT)
    agent_id = agent_id or _question("what to call the agent whose logs these are", "agent")
    return Answers(region, groups, endpoint, agent_id)


def text(answers: Answers, file: Path) -> str:
    """Return the configuration.

    Raises:
        ConfigError: it would not do, since an answer is no region, log group or address.
    """
    groups = [
        f"        - {{prefix: {json.dumps(name[:-1])}}}" if name.endswith("*") else f"        - {json.dumps(name)}"
        for name in answers.log_groups
    ]
    written = _TEMPLATE.format(
        file=file,
        agent_id=json.dumps(answers.agent_id),
        region=json.dumps(answers.region),
        log_groups="\n".join(groups),
        endpoint=json.dumps(answers.endpoint),
    )
    config.check(written, str(file), os.environ)
    return written


def found_groups(region: str) -> list[str]:
    """Return the names of the account's log groups in a region, those that begin with ``/``: all of AWS's services.

    Raises:
        CheckError: they cannot be listed; the text says what lacks.
    """
    provided = load(["cloudwatch"]).components["source"].get("cloudwatch")
    if provided is None:
        raise CheckError("the source is not installed: pip install vectadb-agent-cloudwatch")
    options = {"type": "cloudwatch", "region": region, "log_groups": [{"prefix": "/"}]}
    source = provided.make(provided.component.Config.model_validate(options))
    assert isinstance(source, Source)

    async def listed() -> list[str]:
        with anyio.fail_after(PATIENCE):
            async with source:
                return await source.partitions()

    try:
        return sorted(anyio.run(listed))
    except TimeoutError as error:
        raise CheckError(f"no answer within {PATIENCE:g} s: is {region} a region, and can it be reached?") from error


def _choose(region: str) -> list[str]:
    """Ask which log groups; a list of those found helps, and where it cannot be had names do."""
    print(f"Looking for log groups in {region} …")
    found: list[str] = []
    try:
        found = found_groups(region)
        print(
            "\n".join(f"{number:>4}  {name}" for number, name in enumerate(found[:MOST_LISTED], 1)) or "There is none."
        )
        if len(found) > MOST_LISTED:
            print(f"      … and {len(found) - MOST_LISTED:,} more")
    except CheckError as error:
        print(f"They cannot be listed: {error}")
    hint = "numbers as in 1,3-5, names, or a beginning with *" if found else "names, or a beginning with *"
    return _asked(f"Which log groups ({hint})", "", lambda words: chosen(words, found))


def chosen(words: str, found: Sequence[str]) -> list[str]:
    """Make names of an answer such as ``1,3-5 /aws/lambda/*``.

    Raises:
        ValueError: it names none, or a number that is not in the list.
    """
    names: list[str] = []
    for word in re.split(r"[\s,]+", words.strip()):
        numbers = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if numbers is None:
            names += [word] if word else []
            continue
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not 1 <= first <= last <= len(found):
            raise ValueError(f"{word} is not in the list, which goes from 1 to {len(found)}")
        names += found[first - 1 : last]
    if not names:
        raise ValueError("at least one is wanted")
    return list(dict.fromkeys(names))


def _question(what: str, usual: str) -> str:
    return _asked(what, usual, str)


def _asked(what: str, usual: str, understand: Callable[[str], _T]) -> _T:
    while True:
        try:
            return understand(input(f"{what}{f' [{usual}]' if usual else ''}: ").strip() or usual)
        except ValueError as error:
            print(error)
        except EOFError:
            raise UsageError("the answers ended before the questions") from None
