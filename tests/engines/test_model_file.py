"""The embedded model is put together once, checked, and made again when it is damaged."""

import hashlib
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from postil.engines.model_file import assembled, cache_folder, model_digest
from postil.errors import SettingsError

WHOLE = os.urandom(50_000)


@dataclass
class Package:
    """A package of weights in parts, like the real one."""

    parts: list[str]
    MODEL_NAME: str = "model.gguf"
    EXPECTED_SHA256: str = hashlib.sha256(WHOLE).hexdigest()
    asked: int = 0

    def chunk_paths(self) -> list[str]:
        self.asked += 1
        return self.parts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def package(tmp_path: Path) -> Package:
    parts: list[str] = []
    for i in range(5):
        part = tmp_path / f"part{i}"
        part.write_bytes(WHOLE[i * 10_000 : (i + 1) * 10_000])
        parts.append(str(part))
    return Package(parts)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_put_together_once(package: Package, cache: Path) -> None:
    path = assembled(package, cache)
    assert path == cache / "model.gguf"
    assert path.read_bytes() == WHOLE
    assert assembled(package, cache) == path
    assert package.asked == 1
    assert names(cache) == ["digests", "model.gguf"], "nothing half-made is left"


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_made_again(damage: str, package: Package, cache: Path) -> None:
    path = assembled(package, cache)
    content = bytearray(WHOLE)
    content[777] ^= 1
    path.write_bytes({"cut": WHOLE[:-1], "changed": bytes(content), "empty": b""}[damage])
    os.utime(path, ns=(0, 10**18))
    assert assembled(package, cache).read_bytes() == WHOLE


def test_parts_that_make_something_else_are_refused_and_leave_nothing(package: Package, cache: Path) -> None:
    Path(package.parts[2]).write_bytes(b"not what it was")
    with pytest.raises(SettingsError, match=rf"SHA-256 .*expected {package.EXPECTED_SHA256}") as caught:
        assembled(package, cache)
    assert "--force-reinstall" in caught.value.hint
    assert names(cache) == []


def test_a_missing_part_is_named(package: Package, cache: Path) -> None:
    Path(package.parts[3]).unlink()
    with pytest.raises(SettingsError, match=r"model\.gguf: cannot put the embedded model together: .*part3"):
        assembled(package, cache)


def test_a_cache_that_cannot_be_written_is_named(package: Package, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(SettingsError, match="cannot put the embedded model together") as caught:
        assembled(package, cache_folder())
    assert str(cache_folder()) in str(caught.value)
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_digest_needs_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "my.gguf"
    path.write_bytes(WHOLE)
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert model_digest(path) == f"sha256:{hashlib.sha256(WHOLE).hexdigest()}"


def test_a_digest_is_kept_and_follows_the_file(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "my.gguf"
    path.write_bytes(WHOLE)
    first = model_digest(path)
    [kept] = (cache / "digests").iterdir()
    kept.write_text(f"sha256:{'0' * 64}", encoding="ascii")
    assert model_digest(path) == f"sha256:{'0' * 64}", "not hashed again"
    for torn in ("", "sha256:12", "\0" * 71):
        kept.write_text(torn, encoding="ascii")
        assert model_digest(path) == first, "what was torn is made again"
    path.write_bytes(WHOLE + b"x")
    assert model_digest(path) == f"sha256:{hashlib.sha256(WHOLE + b'x').hexdigest()}"


def _assemble(package: Package, folder: Path) -> None:
    assert assembled(package, folder).read_bytes() == WHOLE


def test_two_processes_may_make_it_at_once(package: Package, cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_assemble, args=(package, cache)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert names(cache) == ["digests", "model.gguf"]


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/postil")
