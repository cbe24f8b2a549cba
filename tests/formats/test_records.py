"""Files as records: ids, places, and none lost."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from postil.canonical import record_id
from postil.errors import DataError, FormatError
from postil.formats import FORMATS, Unique, format_of, read_records, write_csv, write_jsonl
from postil.types import Record


def written(tmp_path: Path, content: str, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def refusal(path: Path, id_field: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_records(path, id_field=id_field))
    assert caught.value.hint
    return caught.value


def test_the_field_id_is_the_id_and_no_field_any_more(tmp_path: Path):
    located = next(read_records(written(tmp_path, '\n{"text": "x", "id": "007"}\n')))
    assert located.record == Record("007", {"text": "x"})
    assert (located.line, located.place) == (2, f"{tmp_path / 'a.jsonl'}, line 2")


def test_a_named_id_field_stays_a_field(tmp_path: Path):
    path = written(tmp_path, "id,url\n1,http://a\n", "a.csv")
    assert next(read_records(path, id_field="url")).record == Record("http://a", {"id": "1", "url": "http://a"})


def test_whole_numbers_become_ids_exactly(tmp_path: Path):
    path = written(tmp_path, '{"id": 9007199254740993}\n{"id": 0}\n{"id": -1}\n')
    assert [located.record.id for located in read_records(path)] == ["9007199254740993", "0", "-1"]


def test_without_an_id_the_content_makes_it(tmp_path: Path):
    path = written(tmp_path, '{"text": "x", "n": 1}\n{"n": 1, "text": "x"}\n{"text": "y", "n": 1}\n')
    ids = [located.record.id for located in read_records(path)]
    assert ids[0] == ids[1] == record_id({"text": "x", "n": 1})
    assert ids[2] != ids[0]


@pytest.mark.parametrize(
    ("value", "got"),
    [("null", "nothing"), ('""', "nothing"), ('"  "', "'  '"), ("1.5", "1.5"), ("true", "True"), ("[1]", "[1]")],
)
def test_what_can_be_no_id_is_refused_with_its_line(tmp_path: Path, value: str, got: str):
    error = refusal(written(tmp_path, f'{{"id": "a"}}\n{{"id": {value}}}\n'))
    assert f"line 2: expected an id in the field 'id', text or a whole number, got {got}" in str(error)


def test_an_empty_id_in_a_table_is_refused(tmp_path: Path):
    assert "line 3: expected an id" in str(refusal(written(tmp_path, "id,text\n1,a\n,b\n", "a.csv")))


def test_an_id_with_half_a_character_is_refused(tmp_path: Path):
    assert "lone surrogate" in str(refusal(written(tmp_path, '{"id": "\\ud800"}\n')))


def test_a_record_without_the_named_id_field_is_refused(tmp_path: Path):
    error = refusal(written(tmp_path, '{"key": 1}\n{"text": "x", "n": 1}\n'), "key")
    assert "line 2: expected the field 'key', which holds the id, got the fields 'text', 'n'" in str(error)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_every_record_is_read_and_memory_stays_flat(tmp_path: Path, name: str):
    rows = ({"id": str(number), "text": f"{number} " + "x" * 2000} for number in range(4000))
    (write_jsonl if name == "a.jsonl" else write_csv)(rows, tmp_path / name)
    tracemalloc.start()
    ids = 0
    for number, located in enumerate(read_records(tmp_path / name)):
        assert located.record.id == str(number)
        ids += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids == 4000
    assert peak < 1_000_000  # the file has 8 MB


def test_equal_records_with_one_id_are_merged_and_counted(tmp_path: Path):
    path = written(tmp_path, '{"id": 1, "a": 1, "b": 2}\n{"id": 2, "a": 1}\n{"id": "1", "b": 2, "a": 1}\n')
    unique = Unique(read_records(path))
    assert [located.record.id for located in unique] == ["1", "2"]
    assert unique.merged == 1


@pytest.mark.parametrize("second", ['{"id": 1, "a": "1"}', '{"id": 1}', '{"id": 1, "a": 1, "b": null}'])
def test_different_records_with_one_id_are_refused_with_both_places(tmp_path: Path, second: str):
    path = written(tmp_path, '{"id": 1, "a": 1}\n{"id": 2}\n' + second)
    with pytest.raises(DataError, match="two different records have the id '1'") as caught:
        list(Unique(read_records(path)))
    assert f"{path}, line 1, and {path}, line 3" in str(caught.value)
    assert "merged" in caught.value.hint


def test_records_of_two_files_are_told_apart(tmp_path: Path):
    first, second = written(tmp_path, '{"id": 1}', "a.jsonl"), written(tmp_path, '{"id": 1}', "b.jsonl")
    unique = Unique([*read_records(first), *read_records(second)])
    assert len(list(unique)) == 1
    assert unique.merged == 1


def test_every_format_is_listed_under_its_name_and_no_ending_means_two():
    assert all(name == known.name and known.title and (known.read or known.write) for name, known in FORMATS.items())
    endings = [ending for known in FORMATS.values() for ending in known.extensions]
    assert len(endings) == len(set(endings))
    assert {"jsonl", "csv", "tsv", "parquet", "json"} <= set(FORMATS)
    assert format_of(Path("a.NDJSON")).name == "jsonl"
    assert format_of(Path("a.csv"), "tsv").name == "tsv"


def test_a_format_that_can_only_be_written_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from postil.formats import Format, known

    write_only: dict[str, Any] = {"out": Format("out", "only out", (".out",), write=write_jsonl)}
    monkeypatch.setattr(known, "FORMATS", write_only)
    with pytest.raises(FormatError, match="'out' can only be written"):
        read_records(written(tmp_path, "x", "a.out"))


SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared gold data are not beside this clone")
def test_every_line_of_the_shared_gold_data_is_a_record():
    counts: dict[str, int] = {}
    for path in sorted(SHARED.glob("*/*/test.jsonl"))[:12]:
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        counts[str(path)] = sum(1 for _ in read_records(path)) - len(lines)
    assert counts
    assert set(counts.values()) == {0}
