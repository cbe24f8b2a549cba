"""Values saved as data: whole or named as damaged, never code."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postil.errors import DataError
from postil.learn.archive import array_digest, read_archive, write_archive

ARRAYS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.5, -np.inf], np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_archive(tmp_path / "里 a", "thing", {"说": "你好 \ud800", "n": 1}, ARRAYS)
    return tmp_path / "里 a"


def arrays_file(folder: Path) -> Path:
    [path] = folder.glob("thing-*.npz")
    return path


def test_what_is_written_is_read_again(folder: Path):
    described, arrays = read_archive(folder, "thing")
    assert described["n"] == 1
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[key], ARRAYS[key]) and arrays[key].dtype == np.float32 for key in ARRAYS)


def test_digests_see_values_types_and_shapes():
    plain = np.arange(6, dtype=np.float32)
    others = [plain + 1, plain.astype(np.float64), plain.reshape(2, 3), plain[::-1]]
    assert array_digest(plain) not in {array_digest(other) for other in others}
    assert array_digest(plain.astype(">f4")) == array_digest(plain)
    assert array_digest(plain.reshape(2, 3).T) == array_digest(plain.reshape(2, 3).T.copy())


def test_a_new_value_takes_the_place_of_the_old(folder: Path):
    write_archive(folder, "thing", {"n": 2}, {"w": np.zeros(1, np.float32)})
    described, arrays = read_archive(folder, "thing")
    assert described == {"n": 2}
    assert arrays["w"].tolist() == [0.0]
    assert len(list(folder.iterdir())) == 2


def test_a_full_disk_leaves_the_old_value(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = read_archive(folder, "thing")[0]
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match="No space left"):
        write_archive(folder, "thing", {"n": 2}, {"w": np.zeros(1, np.float32)})
    assert read_archive(folder, "thing")[0] == before
    assert len(list(folder.iterdir())) == 2


def test_a_crash_between_the_two_files_leaves_the_old_value(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = read_archive(folder, "thing")[0]
    replace = Path.replace

    def crash(path: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_archive(folder, "thing", {"n": 2}, {"w": np.zeros(1, np.float32)})
    assert read_archive(folder, "thing")[0] == before


def damage_json(folder: Path) -> Path:
    path = folder / "thing.json"
    path.write_text(path.read_text()[:-30])
    return path


def damage_one_bit(folder: Path) -> Path:
    path = arrays_file(folder)
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["w"].tobytes()) + 4] ^= 1
    path.write_bytes(content)
    return path


def cut_arrays(folder: Path) -> Path:
    path = arrays_file(folder)
    path.write_bytes(path.read_bytes()[:100])
    return path


def drop_arrays(folder: Path) -> Path:
    path = arrays_file(folder)
    path.unlink()
    return path


def swap_arrays(folder: Path) -> Path:
    path = arrays_file(folder)
    np.savez(path, w=ARRAYS["w"] + 1, b=ARRAYS["b"])
    return path


def smuggle_a_pickle(folder: Path) -> Path:
    path = arrays_file(folder)
    objects: Any = np.array([{"code": print}], dtype=object)
    np.savez(path, w=objects, b=ARRAYS["b"])
    return path


def point_elsewhere(folder: Path) -> Path:
    path = folder / "thing.json"
    path.write_text(path.read_text().replace("thing-", "../thing-"))
    return path


def write_a_list(folder: Path) -> Path:
    path = folder / "thing.json"
    path.write_text("[1]")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        damage_json,
        damage_one_bit,
        cut_arrays,
        drop_arrays,
        swap_arrays,
        smuggle_a_pickle,
        point_elsewhere,
        write_a_list,
    ],
)
def test_a_damaged_file_is_named(folder: Path, damage: Any):
    damaged: Path = damage(folder)
    with pytest.raises(DataError) as raised:
        read_archive(folder, "thing")
    assert damaged.name in str(raised.value)


def test_a_folder_without_it_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"found no thing\.json"):
        read_archive(tmp_path, "thing")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write thing"):
        write_archive(tmp_path / "file", "thing", {}, ARRAYS)
