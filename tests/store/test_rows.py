"""What is written by hand for speed is what the canonical form says."""

import json
from dataclasses import asdict
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json
from postil.store.rows import completion_of, completion_text, now, outcome_row
from postil.types import Annotation, Completion, FinishReason, Usage

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=12)
COUNT = st.integers(0, 10**9)

completions = st.builds(
    Completion,
    ANY_TEXT,
    st.sampled_from(get_args(FinishReason)),
    st.builds(Usage, COUNT, COUNT, COUNT, st.booleans()),
    st.none() | ANY_TEXT,
    st.none() | st.lists(st.floats(0, 1), max_size=3).map(tuple),
    st.none() | st.floats(0, 1),
)


@given(completions)
def test_a_completion_is_written_in_the_canonical_form_and_read_back(completion: Completion) -> None:
    text = completion_text(completion)
    # What the server said of its limits is for the next requests, and no part of the reply.
    kept = {name: value for name, value in asdict(completion).items() if name != "rate_limits"}
    assert text.encode() == canonical_json(kept)
    assert completion_of(text) == completion


def test_whole_numbers_from_a_careless_engine_are_numbers_all_the_same() -> None:
    completion = Completion("x", "stop", Usage(1, 1), choice_probabilities=(1, 0))
    assert completion_of(completion_text(completion)) == completion


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.lists(ANY_TEXT, max_size=2), max_size=2))
def test_an_answer_is_written_in_the_canonical_form(answer: dict[str, object]) -> None:
    answer_column = outcome_row(Annotation("1", "a", answer), None)[5]
    assert answer_column.encode() == canonical_json(answer)
    assert json.loads(answer_column) == answer


def test_the_time_is_utc_with_milliseconds() -> None:
    first, second = now(), now()
    assert first <= second
    assert first.endswith("+00:00")
    assert len(first) == len("2026-01-01T00:00:00.000+00:00")
