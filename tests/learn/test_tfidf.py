"""TF-IDF: any script, stable, saved as data."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import SettingsError
from postil.learn.archive import array_digest
from postil.learn.tfidf import TfidfEmbedder

CORPUS = [
    "the battery died after two days",
    "a battery that lasts for days",
    "the screen is bright and sharp",
    "电池用了两天就坏了",
    "屏幕又亮又清楚",
]


@pytest.fixture(scope="module")
def tfidf() -> TfidfEmbedder:
    return TfidfEmbedder.fit(CORPUS, dimension=512)


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("my battery is dead after a day", CORPUS[0], CORPUS[2]),
        ("这个电池两天就不行了", CORPUS[3], CORPUS[4]),
        ("BATTERIES die", CORPUS[0], CORPUS[2]),
        ("ｂａｔｔｅｒｙ", CORPUS[1], CORPUS[2]),
    ],
)
def test_texts_that_share_words_or_characters_are_nearer(tfidf: TfidfEmbedder, text: str, like: str, unlike: str):
    query, near, far = tfidf.embed([text, like, unlike])
    assert query @ near > query @ far + 0.1


def test_a_rare_word_counts_more_than_a_common_one():
    texts = [f"common word {name}" for name in ("zinc", "iron", "lead", "gold")]
    tfidf = TfidfEmbedder.fit(texts)
    both, rare, common = tfidf.embed(["common zinc", "zinc", "common"])
    assert both @ rare > both @ common


@given(st.lists(st.text(), max_size=5))
def test_rows_have_length_one_or_nothing_and_do_not_depend_on_their_neighbours(texts: list[str]):
    tfidf = TfidfEmbedder.fit(CORPUS, dimension=64)
    rows = tfidf.embed(texts)
    assert rows.shape == (len(texts), 64)
    assert rows.dtype == np.float32
    lengths = np.linalg.norm(rows, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(row, tfidf.embed([text])[0])


@pytest.mark.parametrize("text", ["", "  \n", "\ud800 alone", "\0", "<script>", "a" * 10_000_000, "好" * 1_000_000])
def test_hostile_text_is_embedded_like_any_other(tfidf: TfidfEmbedder, text: str):
    assert np.isfinite(tfidf.embed([text])).all()


def test_an_empty_text_is_the_zero_vector(tfidf: TfidfEmbedder):
    assert not tfidf.embed(["", " "]).any()


def test_features_are_the_same_in_another_process(tfidf: TfidfEmbedder):
    # Python's own hash of text changes from one process to the next.
    program = (
        "from postil.learn.archive import array_digest; from postil.learn.tfidf import TfidfEmbedder;"
        f"corpus = {CORPUS!r}; tfidf = TfidfEmbedder.fit(corpus, dimension=512);"
        "print(tfidf.identity['idf'], array_digest(tfidf.embed(corpus)))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [tfidf.identity["idf"], array_digest(tfidf.embed(CORPUS))]


def test_identity_changes_with_the_corpus_and_the_dimension(tfidf: TfidfEmbedder):
    others = [TfidfEmbedder.fit(CORPUS[:-1], dimension=512), TfidfEmbedder.fit(CORPUS, dimension=256)]
    assert all(other.identity != tfidf.identity for other in others)
    assert TfidfEmbedder.fit(CORPUS, dimension=512).identity == tfidf.identity


def test_a_dimension_too_small_is_refused():
    with pytest.raises(SettingsError, match="at least 2, got 1"):
        TfidfEmbedder.fit(CORPUS, dimension=1)
