"""What of a record is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import EmptyRecord, MissingField, TaskError
from postil.tasks.shown import Shown
from postil.types import JSON, Record


def shown(show: str, **fields: JSON) -> str:
    return Shown.parse(show).render(Record("r", fields))


def test_fields_stand_where_they_are_named() -> None:
    assert shown("{title}: {text} ({title})", title="T", text="x") == "T: x (T)"
    assert Shown.parse("{title}: {text} ({title})").fields == ("title", "text")


@pytest.mark.parametrize("name", ["text", "Review Text", "review/text", "q.1", "Comment?", "标题", "0", "a-b", "a (b)"])
def test_a_field_may_be_called_what_a_column_is_called(name: str) -> None:
    record = Record("r", {name: "value"})
    assert Shown.parse(f"<{{{name}}}>").render(record) == "<value>"


@given(st.text())
def test_a_value_is_shown_as_it_is_and_never_looked_into(value: str) -> None:
    value = f"{value}{{secret}} {{{{ 7*7 }}}} {{% x %}} %s {{0}}"
    assert shown("{text}", text=value, secret="s") == value


def test_doubled_braces_are_braces() -> None:
    assert shown("{{literal}} {text} }}", text="x") == "{literal} x }"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (1.5, "1.5"), (True, "true"), (["a", "é"], '["a", "é"]'), ({"b": 1, "a": None}, '{"a": null, "b": 1}')],
)
def test_values_that_are_no_text_are_shown_as_json(value: JSON, text: str) -> None:
    assert shown("{value}", value=value) == text


@pytest.mark.parametrize("show", ["", "no field", "{}", "{ text}", "{text!r}", "{text:>10}", "{text[0]}", "{text", "}"])
def test_anything_but_plain_fields_is_refused(show: str) -> None:
    with pytest.raises(TaskError, match="`show`"):
        Shown.parse(show)


def test_attributes_are_not_looked_up() -> None:
    with pytest.raises(MissingField, match=r"no field 'text\.__class__'"):
        shown("{text.__class__}", text="x")


def test_a_missing_field_is_named_with_those_there_are() -> None:
    with pytest.raises(MissingField, match="record 'r' has no field 'text'; it has 'body', 'title'"):
        shown("{text}", body="x", title="y")


@pytest.mark.parametrize("blank", ["", " \n\t\u3000", None])
def test_a_record_of_which_nothing_is_shown_is_empty(blank: JSON) -> None:
    with pytest.raises(EmptyRecord, match="'a' and 'b' hold no text"):
        shown("Title: {a} {b}", a=blank, b=blank)


def test_one_field_with_text_is_enough() -> None:
    assert shown("{a}|{b}", a=None, b=0) == "|0"
