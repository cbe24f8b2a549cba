"""One JSON object in a reply, and how probable its parts were (reliability A1, A3, A6, A7)."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import Ambiguous, AnswerError, EmptyRecord, MissingField, Refused, TaskError, Truncated, Unreadable
from postil.tasks.extraction import (
    field_confidence,
    json_reply,
    part_confidences,
    quoted,
    span_text,
    span_texts,
    whole_confidence,
)
from postil.types import JSON, Completion, FinishReason, Record, Usage

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=6),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=4), held, max_size=3),
    max_leaves=8,
)


def reply(text: str, finish: FinishReason = "stop") -> Completion:
    return Completion(text, finish, Usage(1, 1))


def read(text: str, cue: str = "") -> JSON:
    return dict(json_reply(reply(text), "an object", cue=cue).fields)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1]}',
        ' \n{"a":\n [1]}\n',
        '```json\n{"a": [1]}\n```',
        '<think>{"a": 2} perhaps</think>{"a": [1]}',
        'Because I say so.\nAnswer: {"a": [1]}',
        '因为如此。\n答案：```\n{"a": [1]}\n```',
        'Spans: none?\nNo.\n**Spans**: {"a": [1]}',
    ],
)
def test_an_object_is_read_from_where_it_is_declared_to_stand(text: str) -> None:
    assert read(text, "Spans") == {"a": [1]}


def test_what_stands_before_the_marker_is_the_rationale() -> None:
    found = json_reply(reply('It says so. {see}\nSpans: {"a": 1}'), "an object", cue="Spans")
    assert (found.rationale, found.text) == ("It says so. {see}", '{"a": 1}')


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": 1} {"a": 2}', Ambiguous),
        ('{"a": 1}\n{"a": 1}', Ambiguous),
        ('{"a": 2}\nAnswer: {"a": 1}', Ambiguous),
        ('I think {"a": 2}.\nAnswer: {"a": 1}', Ambiguous),
        ('{"a": 1} is my answer', Unreadable),
        ('Sure! {"a": 1}', Unreadable),
        ('Here: ```json\n{"a": 1}\n```', Unreadable),
        ('{"a": 1, "a": 2}', Unreadable),
        ('{"a": NaN}', Unreadable),
        ('{"a": 1e999}', Unreadable),
        ('{"a": 1', Unreadable),
        ("{'a': 1}", Unreadable),
        ('[{"a": 1}]', Unreadable),
        ("null", Unreadable),
        ("I'm sorry, but I can't help with that.", Refused),
        ("抱歉，我无法回答这个问题。", Refused),
        ("Answer: none", Unreadable),
    ],
)
def test_everything_else_is_no_answer(text: str, error: type[AnswerError]) -> None:
    with pytest.raises(error):
        read(text, "Spans")


def test_a_reply_that_was_cut_is_no_answer_even_where_it_reads_like_one() -> None:
    with pytest.raises(Truncated):
        json_reply(reply('{"a": 1}', "length"), "an object")


def test_the_message_says_what_is_wrong_with_the_json() -> None:
    with pytest.raises(Unreadable, match="stands twice"):
        read('{"a": 1, "a": 2}')
    with pytest.raises(Unreadable, match="after it"):
        read('{"a": 1} and more')


def written(value: JSON, at: int, blank: str) -> tuple[str, list[tuple[int, int]]]:
    """Return a value as JSON that begins at a place, and where in it stands what it says."""
    match value:
        case list() | dict() if value:
            keys = [None] * len(value) if isinstance(value, list) else list(value)
            text, saying = "[" if isinstance(value, list) else "{", list[tuple[int, int]]()
            for i, held in enumerate(value if isinstance(value, list) else value.values()):
                text += f"{blank},{blank}" if i else blank
                text += "" if keys[i] is None else f"{json.dumps(keys[i])}{blank}:{blank}"
                inner, pieces = written(held, at + len(text), blank)
                text += inner
                saying += [] if keys[i] in ("id", "occurrence") else pieces
            text += blank + ("]" if isinstance(value, list) else "}")
            return text, saying or [(at, at + len(text))]
        case str() if value:
            text = json.dumps(value)
            return text, [(at + 1, at + len(text) - 1)]
        case _:
            text = json.dumps(value)
            return text, [(at, at + len(text))]


@given(st.lists(JSONS, max_size=4), JSONS, st.sampled_from(["", " ", "\n  "]), st.sampled_from([1, 2, 5]))
def test_the_products_are_those_of_the_tokens_that_touch_what_an_element_says(
    elements: list[JSON], other: JSON, blank: str, size: int
) -> None:
    text, pieces = f'{{"other":{blank}{json.dumps(other)},{blank}"spans"{blank}:[', list[list[tuple[int, int]]]()
    for at, element in enumerate(elements):
        text += f"{blank},{blank}" if at else blank
        inner, saying = written(element, len(text), blank)
        pieces.append(saying)
        text += inner
    text += f"{blank}]{blank}}}"
    # A probability that says which token it was.
    tokens = tuple((text[at : at + size], 1 / (1 + at % 7)) for at in range(0, len(text), size))
    expected = [
        math.prod(
            p
            for at, (_, p) in enumerate(tokens)
            if any(at * size < end and start < (at + 1) * size for start, end in saying)
        )
        for saying in pieces
    ]
    assert part_confidences(Completion(text, "stop", Usage(1, 1), tokens=tokens), "spans") == pytest.approx(expected)


def tokenised(*tokens: tuple[str, float]) -> Completion:
    return Completion("".join(token for token, _ in tokens), "stop", Usage(1, 1), tokens=tokens)


def test_what_a_schema_forced_does_not_count() -> None:
    completion = tokenised(
        *[('{"', 0.4), ("spans", 0.9), ('":', 0.9), (' [{"', 1e-3), ("text", 0.2), ('":', 0.9), (' "', 0.9)],
        *[("Ann", 0.8), (" Lee", 0.5), ('",', 0.9), (' "occurrence', 1e-3), ('":', 0.9), (" 1", 1e-2), (",", 0.9)],
        *[(' "label', 0.3), ('": "', 0.9), ("PER", 0.75), ('"}', 0.9), ("]}", 0.1)],
    )
    assert part_confidences(completion, "spans") == [pytest.approx(0.8 * 0.5 * 0.75)]
    whole = whole_confidence(completion, ["spans"])
    assert whole is not None
    assert whole.value == pytest.approx(0.3)


def test_what_an_element_says_counts_wherever_it_stands() -> None:
    def sure(inner: str, *improbable: str) -> float:
        pieces = [piece for piece in re.split(r'([\[\]{}",:]| )', f'{{"a": [{inner}]}}') if piece]
        tokens = tuple((piece, 0.5 if piece in improbable else 1.0) for piece in pieces)
        [found] = part_confidences(tokenised(*tokens), "a") or [math.nan]
        return found

    assert sure('{"id": "T1", "text": "Ann"}', "T1", "text", "id", "{", "}", '"') == 1
    assert sure('{"id": "T1", "text": "Ann"}', "Ann") == 0.5
    assert sure('{"head": "T1", "tail": "T2"}', "T1") == 0.5
    assert sure('{"predicate": {"text": "ran", "sense": null}, "arguments": [{"role": "A0"}]}', "null") == 0.5
    assert sure('{"predicate": {"text": "ran"}, "arguments": [{"role": "A0", "text": "he"}]}', "A0", "he") == 0.25
    assert sure('{"fragments": [{"text": "a", "occurrence": 2}, {"text": "b"}]}', "a", "b", "2") == 0.25
    assert sure("true", "true") == sure("-1.5e3", "-1.5e3") == 0.5
    assert sure('"a \\" b"', "\\") == 0.5


def test_where_nothing_is_said_the_whole_counts() -> None:
    assert field_confidence(tokenised(('{"spans":', 0.1), (" []", 0.6), ("}", 0.1)), "spans") == pytest.approx(0.6)
    assert field_confidence(tokenised(('{"note": ', 0.1), ('""', 0.6), ("}", 0.1)), "note") == pytest.approx(0.6)
    only_named = tokenised(('{"spans": [', 0.1), ('{"id": "T1"}', 0.6), ("]}", 0.1))
    assert part_confidences(only_named, "spans") == [pytest.approx(0.6)]


def test_a_field_may_be_called_as_that_which_does_not_count() -> None:
    completion = tokenised(('{"id": "', 0.1), ("7b", 0.5), ('", "occurrence": ', 0.1), ("2", 0.25), ("}", 0.1))
    assert (field_confidence(completion, "id"), field_confidence(completion, "occurrence")) == (0.5, 0.25)


def test_a_token_counts_once_for_each_side_that_it_touches() -> None:
    completion = tokenised(('{"spans": [{"a": 1', 0.5), ('}, {"a": ', 0.25), ("2}]", 0.5), (', "b": "x"}', 0.1))
    assert part_confidences(completion, "spans") == [0.5, 0.5]
    shared = tokenised(('{"spans": [{"a": 1', 0.5), ('2}, {"a": 2', 0.25), ("}]}", 0.1))
    assert part_confidences(shared, "spans") == [0.125, 0.25]
    assert field_confidence(shared, "spans") == pytest.approx(0.125)
    assert field_confidence(completion, "b") == pytest.approx(0.1)
    assert field_confidence(completion, "spans") == pytest.approx(0.25)
    whole = whole_confidence(completion, ["spans", "b"])
    assert whole is not None
    assert (whole.value, whole.kind) == (pytest.approx(0.025), "logprob")


@pytest.mark.parametrize(
    "completion",
    [
        reply('{"spans": [1]}'),
        Completion('{"spans": [1]}', "stop", Usage(1, 1), tokens=(("something else", 0.5),)),
        Completion('{"spans": 1}', "stop", Usage(1, 1), tokens=(('{"spans": 1}', 0.5),)),
        Completion('{"other": [1]}', "stop", Usage(1, 1), tokens=(('{"other": [1]}', 0.5),)),
        Completion("no json", "stop", Usage(1, 1), tokens=(("no json", 0.5),)),
    ],
)
def test_without_tokens_that_make_up_the_list_nothing_is_known(completion: Completion) -> None:
    assert part_confidences(completion, "spans") is None


def test_confidence_is_found_behind_thoughts_reasons_and_fences() -> None:
    for text in (
        '<think>{"spans": [9]}</think>{"spans": [1]}',
        'So.\nAnswer: {"spans": [1]}',
        '```\n{"spans": [1]}\n```',
    ):
        at = text.rindex("[1]") + 1
        tokens = ((text[:at], 0.9), ("1", 0.25), (text[at + 1 :], 0.9))
        assert part_confidences(Completion(text, "stop", Usage(1, 1), tokens=tokens), "spans") == [0.25]


def test_the_texts_of_a_record_are_those_of_the_fields_shown() -> None:
    record = Record("r", {"title": "A", "text": "b", "rows": [1], "none": None})
    assert span_text(record, "Text: {text}") == ("text", "b")
    assert span_texts(record, "{title}: {text} {rows} {none}") == {"title": "A", "text": "b"}
    with pytest.raises(TaskError):
        span_text(record, "{title} {text}")
    with pytest.raises(MissingField):
        span_texts(record, "{text} {other}")
    with pytest.raises(EmptyRecord):
        span_texts(record, "{rows} {none}")


def test_a_span_is_quoted_with_its_number_only_where_its_words_do_not_tell() -> None:
    assert quoted("Ann met Bo", 0, 3) == {"text": "Ann"}
    assert quoted("Ann met Ann", 8, 11) == {"text": "Ann", "occurrence": 2}
