"""Synthetic events to search in: any number, the same ones each time.

The words are those of a tokenizer's vocabulary, drawn as words are (few of them often, most of them seldom), each text
about a subject of its own beside what all share, with identifiers and numbers that stand in one document only.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vectadb_server.stores.base import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

MIDNIGHT = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z, microseconds
DAY = 86_400_000_000
SUBJECTS, SUBJECT_WORDS = 1_000, 40
FORMS = (
    ("tool_call", 'the agent called the tool to look up or do\n{name}\n{{"query": "{some}", "id": "{number}"}}'),
    ("tool_result", 'the tool returned\n{name}\n{{"items": ["{some}"], "status": "ok", "id": "{number}"}}'),
    ("agent_thought", "the agent thought\n{some}"),
    ("llm_end", "{name} {some}"),
    ("log", "INFO {name} request {number} {some}"),
    ("error", "failed with an error\n{name}: {some} (request {number})"),
)


def documents(number: int, days: int) -> Iterator[Document]:
    """Yield ``number`` documents in order of time, spread evenly over ``days`` days from :data:`MIDNIGHT` on."""
    rng = random.Random(0)
    words, weights, subjects = _vocabulary()
    shared: Iterator[str] = iter(())
    for at in range(number):
        us = MIDNIGHT + days * DAY * at // number
        if at % 1_000 == 0:
            shared = iter(rng.choices(words, weights, k=40_000))
        subject = subjects[rng.randrange(SUBJECTS)]
        kind, form = FORMS[rng.randrange(len(FORMS))]
        own = rng.choices(subject, k=rng.randint(5, 18))
        some = " ".join(word for pair in zip(own, shared, strict=False) for word in pair)
        name = f"{subject[0]}_{subject[1 + rng.randrange(4)]}"
        yield Document(
            event_id=str(uuid.UUID(int=rng.getrandbits(128), version=5)),
            day=day(us),
            text=form.format(name=name, some=some, number=f"{rng.getrandbits(32):08x}"),
            us=us,
            event_type=kind,
            agent_id=f"agent-{rng.randrange(20)}",
            session_id=f"session-{at // 200}",
            trace=f"trace-{at // 20}",
            log_group=f"/aws/lambda/agent-{rng.randrange(20)}",
            log_stream=f"2026/01/01/[$LATEST]{at // 500:08x}",
        )


def queries(number: int) -> list[str]:
    """Return what people might look for: a few words of a subject, half of them with a word that all share."""
    rng = random.Random(1)
    words, weights, subjects = _vocabulary()
    return [
        " ".join(
            [*rng.sample(subjects[rng.randrange(SUBJECTS)], rng.randint(2, 5)), *rng.choices(words, weights, k=at % 2)]
        )
        for at in range(number)
    ]


def day(us: int) -> str:
    """Return the UTC day of a time in January 2026 or soon after."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%d")


@cache
def _vocabulary() -> tuple[list[str], list[float], list[list[str]]]:
    import wordllama

    file = Path(wordllama.__file__).with_name("tokenizers") / "l2_supercat_tokenizer_config.json"
    vocabulary = json.loads(file.read_text("utf-8"))["model"]["vocab"]
    words = sorted({word[1:].lower() for word in vocabulary if re.fullmatch("▁[A-Za-z]{3,}", word)})
    rng = random.Random(2)
    rng.shuffle(words)
    subjects = [rng.sample(words, SUBJECT_WORDS) for _ in range(SUBJECTS)]
    return words, [1 / (rank + 3) for rank in range(len(words))], subjects
