"""Disks that fail or fill up: the run stops at the first error and goes on later where it was (H3, D3, D4, D5)."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from unittest import mock

import apsw
import pytest

from postil.store.connection import connect, make_durable, transaction, wal_is_safe
from tests.torture.conftest import Make
from tests.torture.project import Tortured, tortured
from tests.torture.serving import Servers
from tests.torture.strace import SYNCS, WRITES, cannot_trace, injected


def fail_and_go_on(project: Tortured, calls: str, error: str, nth: int) -> int:
    """Let a run meet the error and the next one end; return how many calls were made to fail."""
    assert error in ("EIO", "ENOSPC")
    met = injected(
        ["annotate", "--json", "--project", project.folder], project.folder / "log", calls=calls, error=error, nth=nth
    )
    assert "Traceback" not in met.said
    if met.failures:
        assert met.code == 3, met.said
        assert '"stopped": "journal"' in met.said
    asked_after = [line for line in project.scene.asked() if line["at"] > met.first]
    assert len(asked_after) <= project.concurrency, "nothing leaves that was not written down before"
    if (project.folder / "postil.db").exists():
        assert project.must_hold().figures["open"] <= project.concurrency
    assert project.run("annotate", "--json").json["pending"] == 0
    project.must_hold(finished=True)
    project.verified()
    return met.failures


@pytest.mark.parametrize(("calls", "error", "nth"), [(SYNCS, "EIO", 2), (SYNCS, "EIO", 12), (WRITES, "ENOSPC", 70)])
def test_a_system_call_that_fails_stops_the_run_and_loses_nothing(calls: str, error: str, nth: int, make: Make) -> None:
    if why := cannot_trace():
        pytest.skip(why)
    assert fail_and_go_on(make(24, script={"delay": [0.0, 0.005]}, concurrency=4), calls, error, nth) > 0


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Generator[Path, None, None]:
    """A file system of its own, of a few blocks."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()[:100]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_the_run_and_goes_on_once_there_is_room(servers: Servers, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        scene = servers.scene(delay=[0.0, 0.003])
        project = tortured(disk / "p", scene, 300, concurrency=8, filler="x" * 400)
        ran = project.run("annotate", "--json")
        assert (ran.code, ran.json["stopped"]) == (3, "journal")
        assert "full" in ran.err
        before = project.must_hold()
        assert before.figures["records"] == 300
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert project.run("annotate", "--json").json["labelled"] == 300
        after = project.must_hold(finished=True)
        assert after.figures["paid_again"] <= before.figures["open"] <= project.concurrency
        project.verified()


# The SQLite that is linked (D5)


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        *(("3.51.3", True), ("3.51.2", False), ("3.51.10", True), ("3.52.0", True), ("3.54.1", True), ("4.0.0", True)),
        *(("3.50.7", True), ("3.50.6", False), ("3.50.12", True), ("3.51.0", False), ("3.49.99", False)),
        *(("3.44.6", True), ("3.44.5", False), ("3.45.0", False), ("3.40.1", False), ("3.7.0", False)),
    ],
)
def test_the_releases_whose_log_may_lose_commits_are_known(version: str, safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_the_log_of_the_linked_release_is_used() -> None:
    assert wal_is_safe(apsw.sqlite_lib_version())


def test_with_an_affected_release_there_is_no_such_log(make: Make) -> None:
    project = make(20, concurrency=8)
    with mock.patch("apsw.sqlite_lib_version", return_value="3.51.2"):
        assert project.run("annotate", "--json").json["labelled"] == 20
        with closing(connect(project.folder / "postil.db")) as connection:
            make_durable(connection)
            assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
            assert connection.execute("PRAGMA synchronous").fetchall() == [(3,)]
    project.must_hold(finished=True)
    project.verified()


def test_eight_connections_that_write_and_fold_the_log_lose_nothing(tmp_path: Path) -> None:
    path, rounds = tmp_path / "postil.db", 40
    with closing(connect(path, create=True)) as first:
        make_durable(first)
        first.execute("CREATE TABLE t (writer INTEGER, number INTEGER)")
    problems: list[str] = []

    def write(writer: int) -> None:
        try:
            with closing(connect(path)) as connection:
                make_durable(connection)
                for number in range(rounds):
                    with transaction(connection):
                        connection.execute("INSERT INTO t VALUES (?, ?)", (writer, number))
                    if number % 4 == writer % 4:
                        # Somebody else may be folding it in just now.
                        with contextlib.suppress(apsw.BusyError):
                            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            problems.append(str(error))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with closing(connect(path, read_only=True)) as connection:
        counts = connection.execute("SELECT writer, count(*), count(DISTINCT number) FROM t GROUP BY writer").fetchall()
        assert counts == [(writer, rounds, rounds) for writer in range(8)]
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
