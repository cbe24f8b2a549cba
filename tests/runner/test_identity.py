"""Equal digests if and only if everything the engine is told is equal (reliability C1)."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import digest
from postil.engines.scripted import ScriptedEngine
from postil.runner.identity import Digests, request_digest
from postil.types import JSON, Message, Request
from tests.runner import scene

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
requests = st.builds(
    Request,
    st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), ANY_TEXT), max_size=4).map(tuple),
    st.integers(1, 10**6),
    st.floats(0, 2),
    st.none() | st.integers(-(2**40), 2**40),
    st.lists(ANY_TEXT, max_size=3).map(tuple),
    st.none() | st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.lists(st.booleans()), max_size=2),
)

REQUEST = Request(
    (Message("system", "Say."), Message("user", "What?"), Message("assistant", "A"), Message("user", "And?")),
    max_tokens=8,
    temperature=0.5,
    seed=1,
    choices=("A", "B"),
    schema={"type": "object", "required": ["label"]},
)
CHANGES: Mapping[str, list[Any]] = {
    "token_probabilities": [True],
    "replicate": [1, 2],
    "messages": [
        (),
        REQUEST.messages[1:],
        REQUEST.messages[::-1],
        (*REQUEST.messages, Message("user", "")),
        (Message("user", "Say."), *REQUEST.messages[1:]),
        (Message("system", "Say. "), *REQUEST.messages[1:]),
        (*REQUEST.messages[:3], Message("user", "And?\0")),
        (*REQUEST.messages[:3], Message("user", 'And?"},{"content":"')),
        (*REQUEST.messages[:3], Message("user", "And\ud83d?")),
        (*REQUEST.messages[:3], Message("user", "And\\ud83d?")),
    ],
    "max_tokens": [7, 80],
    "temperature": [0.0, 0.05, 0.5000000001],
    "seed": [None, 0, 11, -1],
    "choices": [(), ("A",), ("B", "A"), ("A", "B", "C"), ('A","B',), ("A,B",)],
    "schema": [None, {}, {"type": "object"}, {"type": "object", "required": ["rating"]}],
}


@given(ANY_TEXT, requests)
def test_the_digest_is_that_of_the_canonical_form(engine: str, request: Request) -> None:
    assert request_digest(engine, request) == digest([engine, asdict(request)])


def test_every_field_of_a_request_is_part_of_it() -> None:
    assert set(CHANGES) == set(asdict(REQUEST)), "a new field must be part of the digest"
    changed = [replace(REQUEST, **{field: value}) for field, values in CHANGES.items() for value in values]
    digests = [request_digest("engine", request) for request in [REQUEST, *changed]]
    assert len(set(digests)) == len(digests)
    assert request_digest("engine", replace(REQUEST)) == digests[0]
    assert request_digest("other", REQUEST) not in digests


def test_a_temperature_is_the_same_however_it_is_written() -> None:
    assert request_digest("e", replace(REQUEST, temperature=0)) == request_digest(
        "e", replace(REQUEST, temperature=0.0)
    )


class Named(ScriptedEngine):
    """An engine with an identity to choose."""

    def __init__(self, identity: Mapping[str, JSON]) -> None:
        super().__init__(scene.right)
        self._identity = identity

    @property
    def identity(self) -> Mapping[str, JSON]:
        return self._identity


@pytest.mark.parametrize("other", [{"m": "2"}, {"m": 1}, {"m": "1", "x": None}, {}, {"n": "1"}])
def test_another_engine_is_asked_another_request(other: dict[str, JSON]) -> None:
    same, one, two = (scene.annotator(Named(identity)) for identity in ({"m": "1"}, {"m": "1"}, other))
    request = one.request(scene.record(1))
    assert one.request_digest(request) == same.request_digest(request)
    assert one.request_digest(request) != two.request_digest(request)
    assert one.id == same.id != two.id


def test_whatever_is_part_of_an_annotator_is_part_of_its_id() -> None:
    engine = scene.engine()
    base = scene.annotator(engine)
    others = [
        scene.annotator(engine, sampling=replace(base.sampling, temperature=1.0)),
        scene.annotator(engine, sampling=replace(base.sampling, seed=1)),
        scene.annotator(engine, sampling=replace(base.sampling, max_tokens=5)),
        scene.annotator(engine, calibration="batch"),
    ]
    assert len({base.id, *(other.id for other in others)}) == 5
    assert scene.annotator(engine, prior=(0.2, 0.3, 0.5)).id == base.id, "the prior follows from the rest"


def test_a_digest_that_was_added_is_always_found_and_others_seldom() -> None:
    digests = [digest(i) for i in range(4000)]
    some = Digests(2000)
    for added in digests[:2000]:
        some.add(added)
    assert all(added in some for added in digests[:2000])
    assert sum(other in some for other in digests[2000:]) < 40
    crowded = Digests(0)
    for added in digests:
        crowded.add(added)
    assert all(added in crowded for added in digests)
