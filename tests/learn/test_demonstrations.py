"""Which solved records a prompt shows, and which it must not."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from postil.canonical import canonical_json
from postil.errors import DataError, EmptyRecord, SettingsError
from postil.learn.demonstrations import FixedDemonstrations, RandomDemonstrations, SimilarDemonstrations
from postil.learn.embeddings import TfidfEmbedder
from postil.tasks.classification import Classification
from postil.types import Demonstration, DemonstrationSelector, Record
from tests.learn.invented import demonstrations, invent, labels

EN = Classification("topic", "What is it about?", labels=labels())
ZH = Classification("topic", "讲什么?", labels=labels("zh"))


def pool(language: str = "en", n: int = 60) -> list[Demonstration]:
    return demonstrations(*invent(n, rng=np.random.default_rng(1), language=language))


def tfidf(held: Sequence[Demonstration]) -> TfidfEmbedder:
    return TfidfEmbedder.fit([str(one.record.fields.get("text")) for one in held], dimension=512)


def similar(held: Sequence[Demonstration], k: int = 6, *, task: Any = EN, **settings: Any) -> SimilarDemonstrations:
    return SimilarDemonstrations(held, k, embedder=tfidf(held), task=task, **settings)


def record(text: str, name: str = "r") -> Record:
    return Record(name, {"text": text})


def text_of(demonstration: Demonstration) -> str:
    return str(demonstration.record.fields["text"])


def ids(chosen: Sequence[Demonstration]) -> list[str]:
    return [one.record.id for one in chosen]


MAKERS: dict[str, Callable[[Sequence[Demonstration]], DemonstrationSelector]] = {
    "fixed": FixedDemonstrations,
    "random": lambda held: RandomDemonstrations(held, 6, seed=4, task=EN),
    "similar": similar,
}
each_selector = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each_selector
def test_the_record_itself_is_never_shown(make: Callable[..., DemonstrationSelector]):
    held = pool()
    selector = make(held)
    for one in held:
        assert one.record.id not in ids(selector.select(one.record))


@each_selector
@pytest.mark.parametrize("change", [str.upper, lambda text: f" {text}!", lambda text: text + " x"])
def test_a_near_duplicate_under_another_id_is_never_shown(
    make: Callable[..., DemonstrationSelector], change: Callable[[str], str]
):
    held = pool()
    selector = make(held)
    for one in held[:20]:
        assert one.record.id not in ids(selector.select(record(change(text_of(one)))))


@each_selector
def test_no_two_near_duplicates_are_shown(make: Callable[..., DemonstrationSelector]):
    held = pool(n=12)
    copies = [Demonstration(record(text_of(one) + ".", f"copy-{one.record.id}"), one.answer) for one in held]
    chosen = ids(make([*held, *copies]).select(record("where is the referee")))
    assert len(chosen) >= 6
    assert len({name.removeprefix("copy-") for name in chosen}) == len(chosen)


@each_selector
def test_demonstrations_come_from_the_pool_as_they_are(make: Callable[..., DemonstrationSelector]):
    held = pool()
    known = {id(one) for one in held}
    assert all(id(one) in known for one in make(held).select(record("a match")))


@each_selector
def test_identity_sees_every_change_of_the_pool_and_nothing_else(make: Callable[..., DemonstrationSelector]):
    held = pool(n=9)
    first, *rest = held
    changed = [
        rest,
        [Demonstration(first.record, {"label": "kitchen"}), *rest],
        [Demonstration(record(text_of(first) + " and more", first.record.id), first.answer), *rest],
        [dataclasses.replace(first, rationale="because"), *rest],
        [Demonstration(record(text_of(first), "other"), first.answer), *rest],
    ]
    identity = canonical_json(make(held).identity)
    assert canonical_json(make(list(held)).identity) == identity
    assert identity not in {canonical_json(make(other).identity) for other in changed}


def test_fixed_demonstrations_keep_their_order_and_random_and_similar_ones_ignore_it():
    held = pool(n=9)
    turned = held[::-1]
    assert ids(FixedDemonstrations(turned).select(record("x"))) == ids(turned)
    for name in ("random", "similar"):
        assert MAKERS[name](turned).identity == MAKERS[name](held).identity
        assert ids(MAKERS[name](turned).select(record("x"))) == ids(MAKERS[name](held).select(record("x")))


@each_selector
def test_a_pool_in_which_an_id_stands_for_two_things_is_refused(make: Callable[..., DemonstrationSelector]):
    held = pool(n=6)
    with pytest.raises(DataError, match="'d000'"):
        make([*held, Demonstration(record("another text", "d000"), {"label": "garden"})])
    assert ids(make([*held, held[0]]).select(record("x"))) == ids(make(held).select(record("x")))


@each_selector
def test_an_empty_pool_is_refused(make: Callable[..., DemonstrationSelector]):
    with pytest.raises(DataError, match="expected demonstrations"):
        make([])


@pytest.mark.parametrize("name", ["random", "similar"])
def test_what_cannot_be_shown_is_no_demonstration(name: str):
    blank = Demonstration(record("  ", "blank"), {"label": "garden"})
    bare = Demonstration(Record("bare", {}), {"label": "garden"})
    make = MAKERS[name]
    assert {"blank", "bare"}.isdisjoint(ids(make([*pool(n=3), blank, bare]).select(record("x"))))
    with pytest.raises(DataError, match="none of which can be shown"):
        make([blank, bare])


@pytest.mark.parametrize("name", ["random", "similar"])
def test_a_record_that_cannot_be_shown_is_rejected(name: str):
    with pytest.raises(EmptyRecord):
        MAKERS[name](pool()).select(record(" "))


def test_none_at_all_is_not_a_number_of_demonstrations():
    with pytest.raises(SettingsError, match="at least 1, got 0"):
        similar(pool(), 0)
    with pytest.raises(SettingsError, match="at least 1, got -1"):
        RandomDemonstrations(pool(), -1, seed=0, task=EN)


@pytest.mark.parametrize("k", [1, 3, 7, 9])
@pytest.mark.parametrize("name", ["random", "similar"])
def test_labels_are_balanced_even_where_the_pool_is_not(name: str, k: int):
    held = pool(n=60)
    skewed = held[:30] + [one for one in held[30:] if one.answer["label"] == "sports"]
    make = {"random": lambda: RandomDemonstrations(skewed, k, seed=4, task=EN), "similar": lambda: similar(skewed, k)}
    selector = make[name]()
    # Two records of the pool are among those asked about, so that what stands in for them is balanced too.
    for asked in (record("the match and the goal of the referee"), held[0].record, held[31].record):
        chosen = selector.select(asked)
        counts = Counter(one.answer["label"] for one in chosen)
        assert len(chosen) == k
        assert max(counts.values()) - min((counts[label] for label in EN.labels), default=0) <= 1


@pytest.mark.parametrize("name", ["random", "similar"])
def test_a_pool_smaller_than_asked_for_gives_what_there_is(name: str):
    held = pool(n=5)
    assert sorted(ids(MAKERS[name](held).select(record("x")))) == sorted(ids(held))


def test_random_demonstrations_are_the_same_for_every_record():
    selector = RandomDemonstrations(pool(), 6, seed=4, task=EN)
    chosen = [ids(selector.select(record(text))) for text in ("a goal", "an oven", "a rose")]
    assert chosen[0] == chosen[1] == chosen[2]


def test_only_the_demonstration_that_is_asked_about_is_replaced():
    selector = RandomDemonstrations(pool(), 6, seed=4, task=EN)
    usual = selector.select(record("x"))
    instead = selector.select(usual[2].record)
    assert len(instead) == 6
    assert len(set(ids(usual)) & set(ids(instead))) == 5


def test_the_seed_decides_the_draw():
    draws = [tuple(ids(RandomDemonstrations(pool(), 6, seed=seed, task=EN).select(record("x")))) for seed in (4, 4, 5)]
    assert draws[0] == draws[1] != draws[2]
    identities = [RandomDemonstrations(pool(), 6, seed=seed, task=EN).identity for seed in (4, 5)]
    assert identities[0] != identities[1]


@pytest.mark.parametrize(("language", "task"), [("en", EN), ("zh", ZH)])
def test_similar_demonstrations_are_more_like_the_record_than_random_ones(language: str, task: Classification):
    held = pool(language)
    embedder = tfidf(held)
    nearest = SimilarDemonstrations(held, 6, embedder=embedder, task=task)
    drawn = RandomDemonstrations(held, 6, seed=4, task=task)
    texts, _ = invent(12, rng=np.random.default_rng(2), language=language)

    def likeness(selector: DemonstrationSelector, text: str) -> float:
        shown = embedder.embed([text_of(one) for one in selector.select(record(text))])
        return float((shown @ embedder.embed([text])[0]).mean())

    gains = [likeness(nearest, text) - likeness(drawn, text) for text in texts]
    assert min(gains) > 0
    assert np.mean(gains) > 0.1


@pytest.mark.parametrize(("language", "task"), [("en", EN), ("zh", ZH)])
def test_without_balance_most_similar_demonstrations_share_the_label(language: str, task: Classification):
    held = pool(language)
    selector = similar(held, 5, task=task, balanced=False)
    texts, gold = invent(12, rng=np.random.default_rng(2), language=language)
    shared = [
        one.answer["label"] == label
        for text, label in zip(texts, gold, strict=True)
        for one in selector.select(record(text))
    ]
    assert np.mean(shared) > 0.6
    assert selector.identity != similar(held, 5, task=task).identity


def test_the_most_similar_comes_last():
    held = pool()
    embedder = tfidf(held)
    query = "the referee saw the goal at the match"
    chosen = similar(held, 6).select(record(query))
    likeness = embedder.embed([text_of(one) for one in chosen]) @ embedder.embed([query])[0]
    assert np.all(np.diff(likeness) >= -1e-5)
    assert likeness[-1] > likeness[0]


def test_ties_go_by_id():
    # Nothing in common with the record: all are equally unlike it.
    held = [Demonstration(record(word * 6, word), {"label": "sports"}) for word in ("ddd", "aaa", "ccc", "bbb")]
    assert sorted(ids(similar(held, 2).select(record("123456 7890")))) == ["aaa", "bbb"]


class Parallel:
    """An embedder for which some texts say the same, whatever their words: a stand-in for a sentence model."""

    @property
    def identity(self) -> dict[str, Any]:
        return {"embedder": "parallel"}

    @property
    def arrays(self) -> dict[str, Any]:
        return {}

    def embed(self, texts: Sequence[str]) -> Any:
        angles = np.array([0.1 if "gone" in text or "empty" in text else 1.0 + len(text) / 50 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_paraphrase_that_only_the_embedding_sees_is_a_near_duplicate_too():
    texts = ["All the cookies are gone", "The jar is empty", "My cat sleeps all day long"]
    held = demonstrations(texts, ["kitchen", "garden", "kitchen"])
    selector = SimilarDemonstrations(held, 3, embedder=Parallel(), task=EN)
    assert ids(selector.select(record("nothing left, it is empty now"))) == ["d002"]


def test_records_are_compared_by_what_is_shown():
    # Two fields: the one that differs is not shown, so for the reader of the prompt the texts are equal.
    held = [Demonstration(Record("a", {"text": "an oven and a pan", "note": "lab" * 40}), {"label": "kitchen"})]
    asked = Record("b", {"text": "an oven and a pan", "note": "garden" * 40})
    assert not FixedDemonstrations(held, show=lambda one: str(one.fields["text"])).select(asked)
    assert not RandomDemonstrations(held, 1, seed=0, task=EN).select(asked)
    assert not similar(held, 1).select(asked)


@each_selector
@pytest.mark.parametrize("text", ["\0", "\ud800 alone", "<script>alert(1)</script>", "好" * 1_000_000])
def test_hostile_text_is_compared_like_any_other(make: Callable[..., DemonstrationSelector], text: str):
    held = [*pool(n=9), Demonstration(record(text, "odd"), {"label": "garden"})]
    selector = make(held)
    assert "odd" not in ids(selector.select(record(text)))
    assert selector.identity
