"""Names and what they mean: apart in a spec, together where people write them, by one rule for every kind."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json
from postil.errors import TaskError
from postil.tasks import Option
from postil.tasks.kinds import KINDS, task_from_spec
from postil.tasks.specs import as_given, names_and_meanings
from postil.types import JSON

MEANT = {"zeta": "the last", "alpha": "", "mid": "between"}
WITH_MEANINGS: Mapping[str, Mapping[str, Any]] = {
    "classification": {"labels": MEANT},
    "multilabel": {"labels": MEANT},
    "attributes": {"fields": [{"name": "which", "labels": MEANT}, {"name": "all", "type": "list", "labels": MEANT}]},
    "relations": {"labels": MEANT, "span_labels": {"PER": "a human being", "ORG": ""}},
    "roles": {"roles": MEANT, "senses": {"run.02": "a machine works", "run.01": ""}},
    "timeline": {"relations": {"before": "over first", "after": ""}, "language": "en"},
    "spans": {"labels": MEANT},
}
"""Every kind that takes names, or a table of names with what they mean."""


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=5))
def test_what_is_taken_apart_is_put_together_again_in_its_order(meant: dict[str, str]) -> None:
    spec = names_and_meanings("labels", [Option(name, meaning) for name, meaning in meant.items()])
    assert spec == {"labels": [*meant], "labels_meanings": {name: m for name, m in meant.items() if m}}
    # Through the canonical form, which sorts keys.
    [(key, again)] = as_given(json.loads(canonical_json(spec))).items()
    assert key == "labels"
    if any(meant.values()):
        assert [*again.items()] == [*meant.items()]
    else:
        assert again == [*meant]


@pytest.mark.parametrize("kind", WITH_MEANINGS)
def test_every_kind_keeps_names_and_meanings_by_the_one_rule(kind: str) -> None:
    task = KINDS[kind]("t", "Which?", **WITH_MEANINGS[kind])
    spec: dict[str, Any] = json.loads(canonical_json(task.spec))
    assert task_from_spec(spec) == task
    written = as_given(spec)
    assert not any("meanings" in key for key in json.dumps(written).split('"'))
    assert KINDS[kind](**{key: value for key, value in written.items() if key != "kind"}) == task
    for parameter, meant in WITH_MEANINGS[kind].items():
        if isinstance(meant, Mapping) and kind != "timeline":
            assert (spec[parameter], written[parameter]) == ([*meant], meant)
            assert spec[f"{parameter}_meanings"] == {name: meaning for name, meaning in meant.items() if meaning}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_a_kind_does_not_have_is_refused(kind: str) -> None:
    spec = {**KINDS[kind]("t", "Which?", **WITH_MEANINGS.get(kind, {})).spec, "colour": "red"}
    with pytest.raises(TaskError, match="task 't': got an unexpected keyword argument 'colour'"):
        task_from_spec(spec)
    with pytest.raises(TaskError, match="missing a required argument: 'instruction'"):
        task_from_spec({"kind": kind, "name": "t"})


def test_a_field_that_only_looks_like_meanings_stays() -> None:
    conditions: JSON = {"if": {"a": "x", "a_meanings": "y"}, "then": {"b": True}}
    spec = {"a_meanings": {"x": "y"}, "b": [1, 2], "rules": [conditions], "lists": [["a", "b"]], "none": None}
    assert as_given(spec) == spec


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ({"labels_meanings": {"other": "?"}}, "'other' means, which is not listed"),
        ({"labels_meanings": ["good"]}, "a table from name to meaning"),
        ({"labels": "good", "labels_meanings": {"good": "?"}}, "'good' means, which is not listed"),
        ({"labels": ["good", "good", "bad"], "labels_meanings": {"good": "?"}}, "there once"),
        ({"labels": [["good"], "bad"], "labels_meanings": {"bad": "?"}}, "a list of texts"),
        ({"labels_meanings": {"good": 3}}, "a list of texts"),
        ({"definitions": {"good": "?"}}, "definitions"),
    ],
)
def test_meanings_that_cannot_be_are_refused(parts: dict[str, JSON], wrong: str) -> None:
    spec: dict[str, JSON] = {"kind": "classification", "name": "t", "instruction": "?", "labels": ["good", "bad"]}
    with pytest.raises(TaskError, match=wrong):
        task_from_spec({**spec, **parts})
