"""Seeded fuzz over HTTP: valid batches and queries, mutated; after each round a healthy event is found by every read.

The tests run a few rounds. Longer, each round of another seed, a server of its own:

    python -m server.tests.hostile.fuzz --seconds 600 --seed 1

It prints the seed of each round; ``--seed N --rounds 1`` repeats one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from server.tests.hostile import contents
from server.tests.hostile.rule import BATCH, FIELDS, ONE, SOURCE, TIME, difference, healthy, serving

if TYPE_CHECKING:
    from server.tests.hostile.rule import Server

TYPES = ("log", "tool_call", "tool_result", "agent_start", "agent_end", "llm_end", "query", "invocation_start", "error")
FRAGMENTS = (b'"', b"\\", b"\\u0000", b"\\ud800", b"\xed\xa0\x80", b"\xff", b"[", b"]", b"{", b"}", b",", b":", b"null")
FRAGMENTS += (b"NaN", b"1e400", b"-", b"9" * 30, b'"events"', b'"source":{}', b'"log_ids":["a","a"]', b"\0", b"[" * 300)
READS = (ONE, "/api/v1/traces", "/api/v1/stats", "/api/v1/events/digest")
PARAMETERS = ("trace", "session", "agent", "type", "log_group", "log_stream", "since", "until", "limit", "cursor")
PARAMETERS += ("status", "basis", "bucket", "unknown")


def value(dice: random.Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = dice.randrange(9 if depth < 4 else 6)
    if kind < 2:
        return dice.choice(list(contents.TEXTS.values()))
    if kind < 5:
        return dice.choice([0, -1, 2**63 - 1, -(2**63), 2**63, 2**70, 1e308, 5e-324, -0.0, True, None, dice.random()])
    if kind == 5:
        return "".join(
            chr(dice.choice([dice.randrange(128), dice.randrange(0x110000)])) for _ in range(dice.randrange(20))
        )
    if kind == 6:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    keys = [*contents.KEYS, "duration_ms", "input_tokens", "tool_call_id", "tool_name", "tool_input", "tool_output"]
    return {dice.choice(keys): value(dice, depth + 1) for _ in range(dice.randrange(4))}


def event(dice: random.Random) -> dict[str, Any]:
    """Return an event, most of it right."""
    made: dict[str, Any] = {"timestamp": TIME, "event_type": dice.choice(TYPES), "raw": value(dice)}
    if not isinstance(made["raw"], str):
        made["raw"] = f"line {dice.random()}"
    for name in FIELDS:
        if dice.random() < 0.2:
            made[name] = dice.choice(list(contents.TEXTS.values()))
    if dice.random() < 0.7:
        made["properties"] = {dice.choice(contents.KEYS): value(dice) for _ in range(dice.randrange(5))}
    if dice.random() < 0.5:
        made["source"] = {name: dice.choice(["", "a", "\0", "\x1f", "é"]) for name in SOURCE if dice.random() < 0.6}
        made["source"] |= {"part": "0", "log_id": f"{dice.random()}"}
        if dice.random() < 0.3:
            made["source"]["log_ids"] = [made["source"]["log_id"], *(str(dice.randrange(9)) for _ in range(3))]
    if dice.random() < 0.2:
        made[dice.choice([*made, *contents.KEYS])] = value(dice)
    if dice.random() < 0.1:
        made["timestamp"] = dice.choice(list(contents.TIMES))
    return made


def mutated(dice: random.Random, body: bytes) -> bytes:
    """Return a body with some bytes cut, doubled or put in."""
    for _ in range(dice.randrange(1, 4)):
        at, end = sorted(dice.randrange(len(body) + 1) for _ in range(2))
        end = min(end, at + dice.choice([0, 1, 8, 100_000]))
        piece = dice.choice([b"", body[at:end] * 2, dice.choice(FRAGMENTS), bytes([dice.randrange(256)])])
        body = body[:at] + piece + body[end:]
    return body


def send(server: Server, dice: random.Random) -> None:
    """Send a batch as it is, which is judged, and mutated, which must be answered."""
    sent = [event(dice) for _ in range(dice.randrange(1, 8))]
    texts = [json.dumps(each) for each in sent]
    first, *taken, last = server.take(healthy(), *texts, healthy())
    assert first, "a neighbour was refused"
    assert last, "a neighbour was refused"
    for text, event_id in zip(texts, taken, strict=True):
        if event_id is not None:
            assert not (wrong := difference(json.loads(text), server.get(f"{ONE}/{event_id}"))), f"{wrong} {text}"
    body = mutated(dice, b'{"events":[' + ",".join([*texts, healthy()]).encode() + b"]}")
    headers = {}
    if dice.random() < 0.2:
        body, headers = gzip.compress(body, mtime=0), {"content-encoding": "gzip"}
        body = mutated(dice, body) if dice.random() < 0.5 else body
    server.ask("POST", dice.choice([BATCH, BATCH, ONE]), content=body, headers=headers)


def ask(server: Server, dice: random.Random) -> None:
    """Ask something, of which some is odd."""
    texts = [*contents.TEXTS.values(), *contents.TIMES, "10", "-1h", "60s", uuid.UUID(int=dice.getrandbits(128)).hex]
    some = [(dice.choice(PARAMETERS), dice.choice(texts)[:2_000]) for _ in range(dice.randrange(1, 4))]
    if dice.random() < 0.3:
        cursor = server.get(ONE, limit=1)["next_cursor"] or ""
        some = [("cursor", mutated(dice, cursor.encode()).decode("latin-1")), ("limit", "3")]
    query = "&".join(f"{name}={quote_from_bytes(text.encode('utf-8', 'surrogatepass'))}" for name, text in some)
    server.ask("GET", f"{dice.choice(READS)}?{query[:50_000]}")
    asked = {"query": dice.choice(texts), "mode": dice.choice(["hybrid", "semantic", "text", "x"]), "limit": 5}
    if dice.random() < 0.5:
        asked["filters"] = {dice.choice(PARAMETERS): value(dice)}
    body = json.dumps(asked).encode()
    server.ask("POST", "/api/v1/search", content=mutated(dice, body) if dice.random() < 0.5 else body)


def play(server: Server, seed: int, *, steps: int = 12) -> None:
    """Play one round."""
    dice = random.Random(seed)
    for _ in range(steps):
        send(server, dice)
        ask(server, dice)
    server.probe()


def main() -> None:
    """Play rounds until the time or the rounds are over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each next one has the next number")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=10**9)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    seed = options.seed
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as server:
        while time.monotonic() < until and seed < options.seed + options.rounds:
            print(f"seed {seed}", flush=True)
            play(server, seed)
            seed += 1
        server.read_all()
    print(f"{seed - options.seed} rounds from seed {options.seed}: the rule holds")


if __name__ == "__main__":
    main()
