"""The canonical form: one for equal values, another for every other value."""

import json
import math
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import MAX_DEPTH, canonical_json, digest, parse_json, plain_json, record_id
from postil.errors import DataError

TEXT = st.text(st.characters(codec="utf-8"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda held: st.lists(held, max_size=4) | st.dictionaries(TEXT, held, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_reads_back_as_the_same_value(value: Any):
    again = parse_json(canonical_json(value).decode("utf-8"))
    assert again == value
    assert canonical_json(again) == canonical_json(value)


@given(st.dictionaries(TEXT, VALUES, min_size=2, max_size=5))
def test_the_order_of_keys_changes_nothing(value: dict[str, Any]):
    turned = dict(reversed(value.items()))
    assert canonical_json(turned) == canonical_json(value)
    assert digest(turned) == digest(value)


@given(VALUES, VALUES)
def test_values_that_json_tells_apart_have_different_digests(first: Any, second: Any):
    assert (digest(first) == digest(second)) == (
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    )


def test_the_canonical_form_is_the_documented_one():
    value = {"b": [1, 1.0, True, None, "é 你好 \u2028 \x7f"], "a": 'quote " back \\ nul \0 tab \t'}
    text = '{"a":"quote \\" back \\\\ nul \\u0000 tab \\t","b":[1,1.0,true,null,"é 你好 \u2028 \x7f"]}'
    assert canonical_json(value) == text.encode()
    assert digest({"a": 1}) == "sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_one_as_number_fraction_text_and_truth_are_four_values():
    assert len({digest(value) for value in (1, 1.0, "1", True, [1], {"1": 1}, None, "")}) == 8


def test_composed_and_decomposed_text_differ():
    composed, decomposed = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert digest(composed) != digest(decomposed)


def test_a_lone_surrogate_is_written_as_its_escape_and_is_not_the_text_of_that_escape():
    assert canonical_json("\ud800x") == b'"\\ud800x"'
    assert parse_json(canonical_json("\ud800x").decode()) == "\ud800x"
    assert canonical_json("\\ud800x") == b'"\\\\ud800x"'


def test_any_mapping_is_an_object_and_any_sequence_an_array():
    frozen: Mapping[str, Any] = MappingProxyType({"a": (1, OrderedDict(b=2))})
    assert canonical_json(frozen) == canonical_json({"a": [1, {"b": 2}]})
    assert plain_json(frozen) == {"a": [1, {"b": 2}]}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, b"x", {1, 2}, {1: "a"}, object(), pytest.param(10**5000, id="long")]
)
def test_what_is_no_json_is_refused(value: Any):
    with pytest.raises(DataError, match="expected"):
        canonical_json({"deep": [value]})


def test_a_structure_that_holds_itself_is_refused():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(DataError, match=f"nested at most {MAX_DEPTH} levels"):
        digest(loop)


def test_a_record_id_is_the_start_of_the_digest_of_its_fields():
    fields = {"text": "好", "n": 1}
    assert record_id(fields) == digest({"n": 1, "text": "好"})[:39]
    assert record_id(fields) != record_id({"text": "好", "n": "1"})


def test_whole_numbers_stay_exact():
    assert parse_json("[9007199254740993, 123456789012345678901234567890]") == [
        2**53 + 1,
        123456789012345678901234567890,
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("1e999", "larger than any"),
        ("9" * 5000, "5000 digits"),
        ("[" * 100_000, "levels deep"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "levels deep"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "levels deep"),
        ('"a\tb"', "control character"),
        ("{} {}", "Extra data"),
    ],
)
def test_text_that_is_no_strict_json_is_refused(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_the_deepest_json_that_can_be_read_can_also_be_hashed():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert canonical_json(parse_json(text)) == text.encode()
    wide = "[" + ",".join("[]" for _ in range(5 * MAX_DEPTH)) + "]"
    assert canonical_json(parse_json(wide)) == wide.encode()
