"""A JSON array of objects, item by item."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError
from postil.formats import read_records
from postil.formats.json_array import read_json_array


def written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    return path


def refusal(tmp_path: Path, content: str) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_records(written(tmp_path, content)))
    assert str(tmp_path / "a.json") in str(caught.value)
    assert caught.value.hint
    return caught.value


ITEMS = st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())), min_size=1, max_size=8)


@settings(max_examples=40)
@given(items=ITEMS, indent=st.sampled_from([None, 0, 3]), escaped=st.booleans())
def test_every_item_comes_back_however_the_array_is_laid_out(
    tmp_path_factory: Any, items: list[dict[str, Any]], indent: int | None, escaped: bool
):
    text = json.dumps(items, indent=indent, ensure_ascii=escaped)
    path = written(tmp_path_factory.mktemp("json"), f"\ufeff \n{text}\r\n ")
    assert [(row.line, row.fields) for row in read_json_array(path)] == list(enumerate(items, start=1))


def test_items_that_share_a_line_or_stretch_over_many_are_read(tmp_path: Path):
    long: dict[str, Any] = {"words": [f"word {number}" for number in range(5000)]}
    content = '[{"a": 1}, {"a": 2},\n' + json.dumps(long, indent=1) + "\n, {}\n]"
    assert [row.fields for row in read_json_array(written(tmp_path, content))] == [{"a": 1}, {"a": 2}, long, {}]


def test_a_file_with_an_object_a_line_is_read_as_json_lines(tmp_path: Path):
    path = written(tmp_path, '{"a": 1}\n\n{"a": 2}\n')
    assert [row.fields for row in read_json_array(path)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("content", ['{"data": [{"a": 1}]}', '{\n "data": [\n  {"a": 1}\n ]\n}', '"x"', "3"])
def test_what_is_no_array_is_refused(tmp_path: Path, content: str):
    error = refusal(tmp_path, content)
    assert "expected a JSON array of objects, got" in str(error)
    assert "jq" in error.hint


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('[{"a": 1}, {"a": 2', "item 2 (near line 1): expected an object"),
        ('[{"a": 1}\n{"a": 2}]', "item 1 (near line 2): expected a comma or ]"),
        ('[{"a": 1}', "item 1 (near line 1): expected a comma or ] after it, got the end of the file"),
        ('[{"a": 1},]', "item 1: a comma after the last item"),
        ('[{"a": 1},\n[2]]', "item 2 (near line 2): expected an object, got '[2]]'"),
        ("[null]", "item 1 (near line 1): expected an object, got 'null]'"),
        ('[{"a": 1}]\n[]', "item 1 (near line 2): expected nothing after the array"),
        ('[{"a": 1}, {"a": NaN}]', "item 2: NaN is no JSON"),
        ('[{"a": 1, "a": 2}]', "item 1: the key 'a' stands twice"),
        ('[{"a":' + "[" * 100_000, "item 1 (near line 1): expected an object"),
    ],
)
def test_a_broken_array_is_named_with_the_item(tmp_path: Path, content: str, what: str):
    assert what in str(refusal(tmp_path, content))
