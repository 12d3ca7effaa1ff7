"""Vectors of meaning. The only module that knows wordllama; it is imported when the embedder is made, not before."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vectadb_server.words import clip

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters embedded of a text: its head and its tail. The vector is a mean over tokens: reading more costs in
#: proportion and finds less (of 120 paraphrases hidden in texts of 1,000 and 2,600 characters 27; of whole texts 18).
HEAD, TAIL = 384, 128


class Embedder(Protocol):
    """Makes one vector of each text. An index made with one embedder cannot be searched with another."""

    name: str
    """Names the model and its weights; an index remembers it."""
    size: int
    """Numbers in a vector; 0: not known yet."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text, or all zeros where the text says nothing."""
        ...


class EmbeddingUnavailable(Exception):
    """The embedder's package or weights are missing; the text says which and what to install."""


class WordLlama:
    """wordllama's 256 numbers, multilingual enough and 100 times as fast as a transformer; works offline."""

    name = "wordllama-l2_supercat-256"
    size = 256

    def __init__(self) -> None:
        """Load the weights that lie in wordllama's own package: half a second and 90 MB.

        Raises:
            EmbeddingUnavailable: wordllama is not installed, or its package lacks the weights.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # batches are small; the cores have other work
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        spec = importlib.util.find_spec("wordllama")
        if spec is None or spec.origin is None:
            raise EmbeddingUnavailable("the package wordllama is not installed. Next: pip install 'wordllama>=0.4'")
        try:
            import wordllama

            model = wordllama.WordLlama.load(cache_dir=Path(spec.origin).parent, dim=self.size, disable_download=True)
        except (ImportError, FileNotFoundError) as error:
            raise EmbeddingUnavailable(f"wordllama cannot be loaded: {error}. Next: install it again") from error
        finally:  # importing wordllama configures the root logger
            root.handlers[:] = handlers
            root.setLevel(level)
        model.tokenizer.no_padding()
        self._encode = model.tokenizer.encode_batch_fast
        self._table = model.embedding

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See :meth:`Embedder.embed`. Of a long text only the head and the tail are read."""
        import numpy as np

        # The tokenizer takes what UTF-8 can carry: a lone surrogate becomes a question mark.
        clipped = [clip(text, HEAD, TAIL).encode("utf-8", "replace").decode() for text in texts]
        vectors = np.zeros((len(clipped), self.size), dtype=np.float32)
        # One text at a time rather than wordllama's padded batch: half as much work where lengths differ.
        for row, tokens in zip(vectors, self._encode(clipped, add_special_tokens=False), strict=True):
            if tokens.ids:
                np.add.reduce(self._table[tokens.ids], axis=0, out=row)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        found: list[list[float]] = vectors.tolist()
        return found


class Elsewhere:
    """Stands for an embedder whose vectors come with the texts: what an index must know of it."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Raise: texts come with their vectors."""
        raise EmbeddingUnavailable(f"{len(texts)} texts have come without the vectors that {self.name} makes")
