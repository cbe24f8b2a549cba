"""The documents say what is so: their code runs, their commands do what they show, their tables are complete."""

import re
import signal
import sys
import threading
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from inspect import Parameter, signature
from pathlib import Path
from types import FrameType
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import postil
from postil import errors
from postil.cli import shown
from postil.project.settings import (
    AnnotatorSettings,
    BudgetSettings,
    DataSettings,
    GoldSettings,
    PriceSettings,
)
from postil.prompts.templates import Template, load_template
from postil.tasks.kinds import KINDS
from tests.docs import command_line
from tests.docs.pages import LANGUAGES, SERVER, DocumentError, Session, blocks, check_shown, commands
from tests.fake_server import Asked, FakeServer, Reply

_ROOT: Final = Path(__file__).parents[1]
_DOCS: Final = _ROOT / "docs"
_EXECUTED: Final = [_ROOT / "README.md", *sorted(_DOCS.glob("*.md"))]
_WRITTEN: Final = [*_EXECUTED, _ROOT / "CONTRIBUTING.md", _ROOT / "CHANGELOG.md"]
_LONGEST_PAGE: Final = 300

_TABLES: Final[dict[str, type[BaseModel]]] = {
    "[data]": DataSettings,
    "[gold]": GoldSettings,
    "[annotators.NAME]": AnnotatorSettings,
    "price": PriceSettings,
    "[budget]": BudgetSettings,
}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix()


@contextmanager
def _time_limit(seconds: int) -> Generator[None, None, None]:
    """Stop a page that hangs, where the system has the signal for it."""

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"a page took more than {seconds} seconds")

    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _labels_by_mood(asked: Asked) -> Reply:
    """Answer as a model might: with one of the options offered, and how sure it is where that is asked for."""
    options = re.findall(r"^- ([^:\n]+)", asked.body["messages"][0]["content"], re.MULTILINE)
    kind = re.search(r"good|great|love|excellent|easy|well", asked.text) is not None
    best, other = (options[-1], options[0]) if kind else (options[0], options[-1])
    return Reply(best, tops=[{best: 0.9, other: 0.1}] if asked.body.get("logprobs") else ())


# The pages run


@pytest.mark.parametrize("page", _EXECUTED, ids=_name)
def test_a_page_does_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_server: FakeServer
) -> None:
    folder = tmp_path / "a folder of its own"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LLM_API_KEY", "key-for-the-documents")
    fake_server.script = _labels_by_mood
    session = Session(folder, page)
    monkeypatch.setitem(sys.modules, session.module.__name__, session.module)
    with _time_limit(_LONGEST_PAGE):
        for block in blocks(_name(page), _text(page).replace(SERVER, fake_server.base_url)):
            session.run(block)


@pytest.mark.parametrize("page", _WRITTEN, ids=_name)
def test_a_block_says_its_language_and_why_it_is_not_run(page: Path) -> None:
    for block in blocks(_name(page), _text(page)):
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}; known: {', '.join(sorted(LANGUAGES))}"
        assert block.marks.get("not run", "a reason"), f"{block.place}: say why it is not run"


def test_the_documents_have_code_that_is_run() -> None:
    found = [block for page in _EXECUTED for block in blocks(_name(page), _text(page)) if "not run" not in block.marks]
    run = {command.line.split()[1] for b in found if b.language == "console" for command in commands(b)}
    assert run >= set(command_line.VERBS) - {"demo"}
    assert sum(block.language == "python" for block in found) >= 10


# What is made or listed is complete


def test_the_page_of_the_command_line_is_what_the_command_line_says() -> None:
    stale = "run `python -m tests.docs.command_line` to make docs/command-line.md anew"
    assert _text(command_line.PAGE) == command_line.page(), stale


@pytest.mark.parametrize("table", _TABLES)
def test_the_page_of_settings_has_every_key_with_its_default(table: str) -> None:
    expected = {field.alias or name: _default(field) for name, field in _TABLES[table].model_fields.items()}
    assert _keys_of_settings_page(table) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_settings_has_every_key_of_a_kind_with_its_default(kind: str) -> None:
    parameters = list(signature(KINDS[kind].__init__).parameters.values())[1:]
    expected = {each.name: "required" if each.default is Parameter.empty else each.default for each in parameters}
    assert _keys_of_settings_page(kind) == expected


def _default(field: FieldInfo) -> object:
    return "required" if field.is_required() else field.default


def _keys_of_settings_page(table: str) -> dict[str, object]:
    """Return key -> default of one table of docs/settings.md."""
    sections = re.split(r"^##+ `(.+)`$", _text(_DOCS / "settings.md"), flags=re.MULTILINE)
    assert table in sections, f"docs/settings.md has no section {table!r}"
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", sections[sections.index(table) + 1], re.MULTILINE)
    return {key: _read_default(cell) for key, cell in rows}


def _read_default(cell: str) -> object:
    if cell in ("required", "–"):
        return cell if cell == "required" else None
    return tomllib.loads(f"value = {cell.strip('`')}")["value"]


@pytest.mark.parametrize("name", postil.__all__)
def test_every_public_name_is_in_the_documents(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", _text(page)) for page in _EXECUTED)


def test_every_exit_code_is_in_first_steps() -> None:
    _, _, section = _text(_DOCS / "first-steps.md").partition("\n## Exit codes\n")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", section.partition("\n## ")[0], re.MULTILINE)}
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == "postil.errors"
    ]
    ends = {getattr(value, "exit_code", 0) for value in classes}
    assert listed == ends | {shown.OK, shown.FELL_SHORT, shown.STOPPED, shown.INTERRUPTED, 2}


def test_every_class_of_failure_is_in_how_it_works() -> None:
    page = _text(_DOCS / "how-it-works.md")
    for value in vars(errors).values():
        failure_class = getattr(value, "failure_class", None)
        assert failure_class is None or f"`{failure_class}`" in page, f"docs/how-it-works.md lacks {failure_class!r}"


def test_every_template_that_the_documents_name_is_there() -> None:
    named = {name for page in _EXECUTED for name in re.findall(r"\b\w+(?:\.\w\w)?\.v\d\b", _text(page))}
    assert all(isinstance(load_template(name), Template) for name in named)


# What is written agrees with itself


@pytest.mark.parametrize("page", _WRITTEN, ids=_name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_blocks(_text(page))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{_name(page)}: the link {target!r} leads nowhere"
        assert not anchor or anchor in _anchors(path), f"{_name(page)}: {target!r} has no such heading"


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _without_blocks(_text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_version_is_the_same_everywhere() -> None:
    assert f"\nversion: {postil.__version__}\n" in _text(_ROOT / "CITATION.cff")
    assert re.search(rf"^## {re.escape(postil.__version__)}\b", _text(_ROOT / "CHANGELOG.md"), re.MULTILINE)


def test_the_licence_is_apache_2_word_for_word() -> None:
    text = (_ROOT / "LICENSE").read_bytes()
    assert sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_drawing_is_whole_and_brings_nothing_from_elsewhere() -> None:
    drawing = _text(_DOCS / "how-it-works.svg")
    assert ET.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|<script|<image", drawing)
    assert "prefers-color-scheme: dark" in drawing


# The tests of documents can fail


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nraise AssertionError('it is not so')\n```", "it is not so"),
        ("```python\nprint('b')\n```\n\n```text\na\n```", "page.md:2: the page shows"),
        ("```console\n$ postil status --project nowhere\n```", "expected exit code 0, got 2"),
        ("```console\n$ postil --version\npostel 0.0.0\n```", "the page shows"),
        ("```console\n$ curl example.org\n```", "is none of"),
        ("```console\npostil status\n```", "begins with a command"),
        ("```toml\n[annotators.a]\nengin = 'local'\n```", "did you mean `engine`"),
        ("  ```python\n  1 / 0\n  ```", "starts at the margin"),
        ("```python\nimport socket; socket.create_connection(('192.0.2.1', 80))\n```", "tests stay on this machine"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network_attempts: list[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    session = Session(folder, Path("page.md"))
    expected = (AssertionError, errors.SettingsError, RuntimeError)
    with pytest.raises(expected, match=re.escape(complaint)):  # noqa: PT012 - parsing may raise, and running may
        for block in blocks("page.md", text):
            session.run(block)
    network_attempts.clear()


def test_blocks_of_a_page_share_names_and_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    session = Session(folder, Path("page.md"))
    text = (
        "<!-- file: a/b.toml -->\n```toml\n[budget]\nusd = 1\n```\n"
        "```python\nfrom pathlib import Path\nx = len(Path('a/b.toml').read_text())\n```\n"
        "```console\n$ cat a/b.toml\n[budget]\n...\n$ cat nothing # exit code 1\n```\n"
        "<!-- not run: it would fail -->\n```python\n1 / 0\n```\n"
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nprint(x, 0.25)\n```\n\n"
        "```text\n17 0.75\n```\n"
    )
    for block in blocks("page.md", text):
        session.run(block)


@pytest.mark.parametrize(
    ("shown", "got", "vary", "same"),
    [
        ("a 0.5 b", "a  0.71\nb", False, True),
        ("12 of 20 records", "13 of 20 records", False, False),
        ("12 of 20 records", "13 of 20 records", True, True),
        ("first\n...\nlast", "first\n1\n2\nlast", False, True),
        ("first\n...\nlast", "first\n1\n2\nlost", False, False),
        ("took ... seconds", "took 1,024 long seconds", False, True),
        ("accuracy 0.5", "macro 0.5", True, False),
        ("1,024.50", "3.1", False, True),
    ],
)
def test_what_is_shown_is_compared_but_for_what_varies(shown: str, got: str, vary: bool, same: bool) -> None:
    if same:
        check_shown("here", shown, got, numbers_vary=vary)
    else:
        with pytest.raises(DocumentError, match="here: the page shows"):
            check_shown("here", shown, got, numbers_vary=vary)
