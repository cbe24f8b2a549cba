"""Under a name there is always a whole file: the old one or the new one."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from postil.errors import FormatError
from postil.formats import output, replacing, write_csv, write_jsonl, write_parquet
from postil.formats.replacing import new_folder

Write = Callable[[Any, Path], int]
WRITERS: list[Write] = [write_jsonl, write_csv, write_parquet]


class Interrupted(BaseException):
    """Like a signal: no error that anybody handles."""


def broken_off(error: BaseException) -> Iterator[Mapping[str, Any]]:
    yield {"id": "1", "text": "x" * 100_000}
    raise error


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("error", [ValueError("no"), Interrupted(), KeyboardInterrupt()])
def test_rows_that_break_off_leave_the_old_file_and_nothing_else(tmp_path: Path, write: Write, error: BaseException):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(type(error)):
        write(broken_off(error), path)
    assert [(there.name, there.read_text()) for there in tmp_path.iterdir()] == [("out", "old")]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_that_break_off_leave_no_new_file(tmp_path: Path, write: Write):
    with pytest.raises(ValueError, match="no"):
        write(broken_off(ValueError("no")), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_disk_that_fails_leaves_the_old_file(
    tmp_path: Path, write: Write, call: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "out"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(FormatError, match=r"cannot write .*out: Input/output error") as caught:
        write([{"id": "1"}], path)
    assert caught.value.hint
    assert [(there.name, there.read_text()) for there in tmp_path.iterdir()] == [("out", "old")]


def test_data_are_on_disk_before_the_name_and_the_folder_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    for write in WRITERS:
        calls.clear()
        write([{"id": "1"}], tmp_path / "out")
        assert calls == ["file", "rename", "folder"]


def test_a_full_disk_says_what_to_do(tmp_path: Path):
    with pytest.raises(FormatError, match="No space left") as caught, replacing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "make room" in caught.value.hint


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("name", "what"), [(".", "got the folder"), ("gone/out", "there is no folder"), ("a\0b", "name of a file")]
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, write: Write, name: str, what: str):
    with pytest.raises(FormatError, match=what) as caught:
        write([{"id": "1"}], tmp_path / name)
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    write_jsonl([{"a": 1}], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "real").read_text() == '{"a": 1}\n'


def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path: Path):
    (tmp_path / "usual").touch()
    write_jsonl([{"a": 1}], tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "new").chmod(0o600)
    write_jsonl([{"a": 2}], tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_device_is_written_and_never_replaced():
    assert write_jsonl([{"a": 1}], "/dev/null") == 1
    assert not Path("/dev/null").is_file()
    with pytest.raises(FormatError, match="device or pipe"):
        write_parquet([{"a": 1}], "/dev/null")


def test_the_longest_name_that_a_folder_takes_can_be_written(tmp_path: Path):
    path = tmp_path / ("n" * 255)
    with output(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_a_name_beyond_what_a_folder_takes_is_refused(tmp_path: Path):
    with pytest.raises(FormatError, match="cannot write"):
        write_jsonl([{"a": 1}], tmp_path / ("n" * 300))


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path):
    with new_folder(tmp_path / "out") as folder:
        (folder / "data").mkdir()
        (folder / "data" / "a.txt").write_text("a", encoding="utf-8")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "data" / "a.txt").read_text(encoding="utf-8") == "a"
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "b").touch()
    assert [each.name for each in (tmp_path / "empty").iterdir()] == ["b"]
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "broken"):
        _ = 1 / 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "out"]


@pytest.mark.parametrize("name", ["-", "a\0b", "none/out", "file", "full"])
def test_a_folder_that_cannot_be_made_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(FormatError), new_folder(name):
        pytest.fail("nothing may be written")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "full", "mine"]
