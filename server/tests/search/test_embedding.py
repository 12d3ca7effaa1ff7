from __future__ import annotations

import math
import subprocess
import sys

import pytest

from vectadb_server.embedding import Embedder, WordLlama


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return WordLlama()


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_vectors_have_length_one_or_none(embedder: Embedder) -> None:
    vectors = embedder.embed(["", "hello", "a\ud800b", "\x00", "字", "!!!", "x" * 10**6])
    assert [len(vector) for vector in vectors] == [embedder.size] * 7
    lengths = [math.sqrt(cosine(vector, vector)) for vector in vectors]
    assert lengths == pytest.approx([0, 1, 1, 1, 1, 1, 1], abs=1e-5)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]) == []


def test_a_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    alone = embedder.embed(["the card was declined"])[0]
    among = embedder.embed(["a", "the card was declined", "a much longer text " * 20])[1]
    assert among == pytest.approx(alone, abs=1e-6)


def test_like_meanings_are_near(embedder: Embedder) -> None:
    query, near, far = embedder.embed(["card charge refused", "the payment was declined", "sunny weather in Paris"])
    assert cosine(query, near) > cosine(query, far) + 0.1


def test_the_tail_of_a_long_text_counts(embedder: Embedder) -> None:
    start = "lorem ipsum dolor sit amet " * 100
    end = "database connection timed out"
    query, plain, failed, hidden = embedder.embed([end, start, start + end, start + end + start])
    assert cosine(query, failed) > cosine(query, plain) + 0.01
    assert cosine(query, hidden) == pytest.approx(cosine(query, plain), abs=0.005)


def test_it_is_the_vector_that_wordllama_makes(embedder: Embedder) -> None:
    text = "Tool call failed: upstream timeout, retrying once"
    code = (
        "import wordllama, pathlib, json\n"
        "model = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)\n"
        f"print(json.dumps(model.embed([{text!r}], norm=True)[0].tolist()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    expected = [float(number) for number in printed.strip("[]\n").split(",")]
    assert embedder.embed([text])[0] == pytest.approx(expected, abs=1e-5)


def test_loading_leaves_the_loggers_alone() -> None:
    code = (
        "import logging\n"
        "from vectadb_server.embedding import WordLlama\n"
        "WordLlama()\n"
        "assert logging.getLogger().handlers == [] and logging.getLogger().level == logging.WARNING"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
