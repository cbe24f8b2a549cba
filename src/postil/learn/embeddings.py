"""Texts as vectors whose products say how alike they are, and which of the ways suits a corpus.

Measured on the gold data sets (logistic regression on the pool, accuracy on the test part): for English, MiniLM and
TF-IDF together are at least as good as either alone; for Chinese, whose characters MiniLM's English vocabulary
does not hold, TF-IDF alone is best by far. `default_embedder` follows from that.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from postil.canonical import plain_json
from postil.errors import DataError, SettingsError
from postil.learn.minilm import MiniLMEmbedder
from postil.learn.texts import beginning
from postil.learn.tfidf import TfidfEmbedder
from postil.types import JSON

__all__ = ["Embedder", "JoinedEmbedder", "MiniLMEmbedder", "TfidfEmbedder", "default_embedder", "load_embedder"]

_LETTER: Final = re.compile(r"[^\W\d_]")
_LATIN: Final = re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]")

# Fewer columns than TF-IDF alone, since the sentence model carries most of what is known.
_JOINED_DIMENSION: Final = 2048
_JOINED_WEIGHT: Final = 0.7


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors, the same text always into the same vector."""

    @property
    def identity(self) -> Mapping[str, JSON]:
        """All that can change its vectors, as JSON; `embedder` names the kind."""
        ...

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What it learned from a corpus: with the identity, all that it takes to make it again."""
        ...

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row a text, of length 1, or 0 for a text with nothing in it."""
        ...


class JoinedEmbedder:
    """Several embeddings side by side; a product is the weighted mean of the products of the parts."""

    def __init__(self, parts: Sequence[tuple[Embedder, float]]) -> None:
        """Take the parts, each with the length that its vectors shall have before the whole is made of length 1.

        Raises:
            SettingsError: there is no part, or a weight is not above 0.
        """
        if not parts or any(weight <= 0 for _, weight in parts):
            raise SettingsError(f"expected parts with weights above 0, got {[weight for _, weight in parts]}")
        self._parts = tuple(parts)

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The identities and weights of the parts."""
        parts = [{"weight": float(weight), "part": dict(part.identity)} for part, weight in self._parts]
        return {"embedder": "joined", "parts": parts}

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What the parts learned, under the number of the part."""
        return {f"{at}.{key}": array for at, (part, _) in enumerate(self._parts) for key, array in part.arrays.items()}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row a text, of length 1, or 0 where every part sees nothing."""
        joined = np.hstack([part.embed(texts) * np.float32(weight) for part, weight in self._parts])
        lengths = np.linalg.norm(joined, axis=1, keepdims=True)
        joined /= np.where(lengths > 0, lengths, 1)
        return joined


def default_embedder(texts: Sequence[str]) -> tuple[Embedder, str]:
    """Return the embedder that suits a corpus, and a note on what the choice costs, empty if nothing.

    A sentence model joined with TF-IDF where most letters are Latin; TF-IDF alone elsewhere, or where the extra
    `local` is missing. TF-IDF takes its weights from these texts.
    """
    if not _mostly_latin(texts):
        return TfidfEmbedder.fit(texts), (
            "texts are compared by their words and characters (TF-IDF): the sentence model reads Latin script only"
        )
    if not MiniLMEmbedder.installed():
        return TfidfEmbedder.fit(texts), (
            "texts are compared by their words and characters (TF-IDF): the sentence model is not installed;"
            " pip install 'postil[local]' for better students and demonstrations"
        )
    joined = [(MiniLMEmbedder(), 1.0), (TfidfEmbedder.fit(texts, dimension=_JOINED_DIMENSION), _JOINED_WEIGHT)]
    return JoinedEmbedder(joined), ""


def load_embedder(identity: Mapping[str, JSON], arrays: Mapping[str, npt.NDArray[Any]]) -> Embedder:
    """Return the embedder with this identity.

    Raises:
        DataError: it cannot be made again here, with the reason.
        MissingExtraError: it needs a part of Postil that is not installed.
    """
    embedder = _made_again(identity, arrays)
    if plain_json(embedder.identity) != plain_json(identity):
        raise DataError(
            f"expected the embedder {dict(identity)!r}, this installation makes {dict(embedder.identity)!r}",
            hint="train it again, or install the version that it was trained with",
        )
    return embedder


def _made_again(identity: Mapping[str, JSON], arrays: Mapping[str, npt.NDArray[Any]]) -> Embedder:
    match dict(identity):
        case {"embedder": "minilm"}:
            return MiniLMEmbedder()
        case {"embedder": "tfidf"} if "idf" in arrays and arrays["idf"].ndim == 1:
            return TfidfEmbedder(arrays["idf"])
        case {"embedder": "joined", "parts": [*parts]}:
            return JoinedEmbedder([_part(at, part, arrays) for at, part in enumerate(parts)])
        case _:
            raise DataError(
                f"this embedder is not one of Postil's: {dict(identity)!r}", hint="pass it as `embedder=` to load"
            )


def _part(at: int, part: JSON, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[Embedder, float]:
    match part:
        case {"weight": float(weight), "part": dict(identity)}:
            own = {key.removeprefix(f"{at}."): array for key, array in arrays.items() if key.startswith(f"{at}.")}
            return load_embedder(identity, own), weight
        case _:
            raise DataError(f"expected a part of a joined embedder, got {part!r}")


def _mostly_latin(texts: Sequence[str]) -> bool:
    letters = latin = 0
    for text in texts:
        start = beginning(text)
        letters += len(_LETTER.findall(start))
        latin += len(_LATIN.findall(start))
    return 2 * latin >= letters
