"""No byte of a key at rest, on a terminal, in a process list, or on its way to anybody but its server (H9, P1, P3)."""

import base64
import json
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.torture.canaries import PIECE, Canary, scan
from tests.torture.project import Tortured, tortured
from tests.torture.serving import Servers
from tests.torture.victims import start, until

VARIABLE = "TORTURE_KEY"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Canary:
    canary = Canary("the key")
    monkeypatch.setenv(VARIABLE, canary.text)
    return canary


def keyed(folder: Path, servers: Servers, **script: object) -> Tortured:
    return tortured(folder / "p", servers.scene(**script), 12, api_key_env=VARIABLE, attempts=2)


def test_a_key_is_nowhere_after_a_run_of_every_verb(key: Canary, servers: Servers, tmp_path: Path) -> None:
    project = keyed(tmp_path, servers, faults={"500": 0.2, "cut_length": 0.1})
    said: list[str] = []
    for verb in (["plan"], ["preview"], ["annotate"], ["annotate", "--json"], ["status"], ["assess"], ["verify"]):
        ran = project.run(*verb)
        said += [ran.out, ran.err]
    for kind in ("jsonl", "csv", "tsv", "parquet"):
        assert project.run("export", project.folder / f"out.{kind}").code == 0
    project.run("assess", "--report", project.folder / "report.html")
    assert key.in_bytes("\n".join(said).encode()) == ""
    assert scan(project.folder, key) == []
    asked = project.scene.asked()
    assert {line["headers"]["Authorization"] for line in asked} == {f"Bearer {key.text}"}
    rest = [{**line["headers"], "Authorization": "", "body": line["body"]} for line in asked]
    assert key.in_bytes(json.dumps(rest).encode()) == ""


@pytest.mark.parametrize("action", ["401", "402", "404", "429", "500", "400_filter", "html", "error_in_200"])
def test_a_key_is_nowhere_after_an_error(action: str, key: Canary, servers: Servers, tmp_path: Path) -> None:
    project = keyed(tmp_path, servers, faults={action: 1.0}, echo=True)
    ran = project.run("annotate", "--json")
    assert ran.code in (1, 3)
    assert key.in_bytes((ran.out + ran.err).encode()) == ""
    assert scan(project.folder, key) == []


def test_a_reply_that_repeats_the_key_is_not_kept(key: Canary, servers: Servers, tmp_path: Path) -> None:
    project = keyed(tmp_path, servers)
    said = [f"say:Your key is {key.text}"]
    project.scene.play(fixed=dict.fromkeys(project.nonces[::4], said))
    ran = project.run("annotate", "--json")
    assert ran.json["failures"] == {"provider_error": 3}
    assert key.in_bytes((ran.out + ran.err).encode()) == ""
    assert scan(project.folder, key) == []


@pytest.mark.parametrize("action", ["kill", "eio", "defect"])
def test_a_key_is_nowhere_after_a_crash(action: str, key: Canary, servers: Servers, tmp_path: Path) -> None:
    project = keyed(tmp_path, servers, delay=[0.0, 0.01])
    log = project.folder / "log"
    assert action in ("kill", "eio", "defect")
    crashed = start(["annotate", "--project", project.folder], log, plant=("after the request was billed", 4, action))
    assert crashed.wait() != 0
    assert len(project.scene.asked()) >= 4, crashed.said()
    assert action != "defect" or "Traceback" in crashed.said()
    assert scan(project.folder, key) == []


def test_a_key_is_on_no_command_line(key: Canary, servers: Servers, tmp_path: Path) -> None:
    project = keyed(tmp_path, servers, delay=[0.2, 0.3])
    run = start(["annotate", "--project", project.folder], tmp_path / "log", how="command")
    assert until(lambda: len(project.scene.asked()) > 0, 20)
    seen = Path(f"/proc/{run.pid}/cmdline")
    if not seen.exists():
        pytest.skip("this system shows no command lines")
    assert b"annotate" in seen.read_bytes()
    assert key.in_bytes(seen.read_bytes()) == ""
    assert run.wait() == 0


def test_what_is_not_shown_never_leaves(servers: Servers, tmp_path: Path) -> None:
    hidden, gold, name, folder = (Canary(what) for what in ("a column", "the gold", "an id", "a folder"))
    plain = folder.text.replace("/", "")
    project = tortured(tmp_path / plain / "p", servers.scene(), 6)
    items = [json.loads(line) for line in (project.folder / "items.jsonl").read_text().splitlines()]
    for number, item in enumerate(items):
        item |= {"secret": hidden.text, "note": gold.text, "id": f"{name.text}{number}", "label": "alpha"}
    (project.folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    with (project.folder / "postil.toml").open("a") as settings:
        settings.write("")
    assert project.run("annotate").code == 0
    sent = project.scene.arrivals.read_bytes()
    assert len(project.scene.asked()) == 6
    for canary in (hidden, gold, name, Canary("a folder", plain)):
        assert canary.in_bytes(sent) == ""


# The search finds what is there


def test_every_spelling_and_every_long_enough_piece_is_found(tmp_path: Path) -> None:
    canary = Canary("the key")
    raw = canary.text.encode()
    for hiding in (
        raw,
        raw[7 : 7 + PIECE],
        base64.b64encode(b"Bearer " + raw),
        base64.b64encode(b"x" + raw + b"yz"),
        base64.urlsafe_b64encode(b"xy" + raw),
        quote(canary.text, safe="").encode(),
        raw.hex().encode(),
        raw.decode().encode("utf-16-le"),
    ):
        assert canary.in_bytes(b"before " + hiding + b" after"), hiding
    assert canary.in_bytes(raw[: PIECE - 1]) == ""
    assert canary.in_bytes(zlib.compress(b"nothing of it")) == ""
    (tmp_path / canary.text.replace("/", "-")).write_text("")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\0" + raw)
    assert len(scan(tmp_path, canary)) == 2
