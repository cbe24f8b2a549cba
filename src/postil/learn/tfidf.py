"""Texts as weighted counts of their words and characters: no model, no download, any script (survey 1.12)."""

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from postil.errors import SettingsError
from postil.learn.archive import array_digest
from postil.learn.texts import UNSPACED, beginning
from postil.types import JSON

__all__ = ["TfidfEmbedder"]

_VERSION: Final = 1
"""Goes up when the features of a text change, since saved idf values would then belong to other features."""

_PIECE: Final = re.compile(f"(?P<run>[{UNSPACED}]+)|(?P<word>[^\\W{UNSPACED}]+)|[^\\w\\s]")

_RUN_SIZES: Final = (1, 2)
_WORD_SIZES: Final = (3, 4)


class TfidfEmbedder:
    """Hashed words, pairs of words and character n-grams, weighted by how rare they are in a corpus.

    The hash decides a feature's column and its sign, so that collisions cancel on average (Weinberger et al. 2009,
    arXiv 0902.2206). A text without any feature is the zero vector.
    """

    def __init__(self, idf: npt.NDArray[np.float32]) -> None:
        """Take the weight of each column; `fit` makes them."""
        self._idf = idf

    @classmethod
    def fit(cls, texts: Sequence[str], *, dimension: int = 4096) -> "TfidfEmbedder":
        """Return an embedder whose weights come from these texts: log((1 + texts) / (1 + texts with it)) + 1.

        Raises:
            SettingsError: the dimension is less than 2.
        """
        if dimension < 2:
            raise SettingsError(f"`dimension` must be at least 2, got {dimension}")
        holding = np.zeros(dimension)
        for text in texts:
            holding[list({_place(feature, dimension)[0] for feature in set(_features(text))})] += 1
        return cls((np.log((1 + len(texts)) / (1 + holding)) + 1).astype(np.float32))

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The features' version and the digest of the weights."""
        return {
            "embedder": "tfidf",
            "version": _VERSION,
            "dimension": len(self._idf),
            "idf": array_digest(self._idf),
        }

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """The weights."""
        return {"idf": self._idf}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row a text, of length 1, or 0 where the text has no feature."""
        vectors = np.zeros((len(texts), len(self._idf)), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for feature, count in Counter(_features(text)).items():
                column, sign = _place(feature, len(row))
                row[column] += sign * (1 + math.log(count))
        vectors *= self._idf
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        return vectors


def _place(feature: str, dimension: int) -> tuple[int, int]:
    hashed = zlib.crc32(feature.encode())
    return hashed % dimension, 1 if hashed >> 31 else -1


def _features(text: str) -> Iterator[str]:
    previous = ""
    for piece in _PIECE.finditer(unicodedata.normalize("NFKC", beginning(text)).casefold()):
        written = piece.group()
        if piece["word"]:
            yield f"w{written}"
            yield f"b{previous} {written}"
            yield from _grams(f"<{written}>", _WORD_SIZES)
        elif piece["run"]:
            yield from _grams(written, _RUN_SIZES)
        else:
            yield f"p{written}"
        previous = written if piece["word"] else ""


def _grams(text: str, sizes: Sequence[int]) -> Iterator[str]:
    return (f"c{text[at : at + size]}" for size in sizes for at in range(len(text) - size + 1))
