"""What users may rely on, and that asking for it loads nothing heavy: a change here is a change for everybody."""

import subprocess
import sys

import pytest

import postil

_PUBLIC = [
    "Abstention",
    "Annotation",
    "Assessment",
    "Attributes",
    "Budget",
    "Capabilities",
    "Classification",
    "Completion",
    "Confidence",
    "Estimate",
    "Failure",
    "LocalEngine",
    "MultiLabel",
    "OpenAIEngine",
    "PostilError",
    "Preference",
    "Project",
    "Rating",
    "Record",
    "Relations",
    "Request",
    "Roles",
    "ScriptedEngine",
    "Spans",
    "Text",
    "Timeline",
    "__version__",
    "annotate",
    "annotate_async",
]
_HEAVY = (
    *(
        "aiohttp",
        "altair",
        "apsw",
        "duckdb",
        "httptools",
        "minijinja",
        "numpy",
        "onnxruntime",
        "pandas",
        "polars",
        "pydantic",
    ),
    *("ray", "scipy", "sklearn", "tokenizers", "torch", "transformers", "vl_convert", "xllamacpp"),
)
_LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def _loaded_after(code: str) -> set[str]:
    """Return the packages that a fresh interpreter holds after some code, whatever the code itself printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{_LOADED}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_names_are_these() -> None:
    assert postil.__all__ == _PUBLIC
    assert dir(postil) == sorted(_PUBLIC)


@pytest.mark.parametrize("name", _PUBLIC)
def test_every_public_name_is_there_and_lives_in_postil(name: str) -> None:
    value = getattr(postil, name)
    assert name == "__version__" or value.__module__.startswith("postil.")
    assert name == "__version__" or value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'postil' has no attribute 'Anotation'"):
        _ = postil.Anotation  # pyright: ignore[reportAttributeAccessIssue] - that it is not there is the test


def test_importing_postil_loads_nothing_heavy() -> None:
    loaded = _loaded_after("import postil")
    assert "postil" in loaded
    assert not loaded.intersection(_HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["annotate", "--help"]], ids=" ".join)
def test_asking_the_command_line_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = _loaded_after(
        "import sys\n"
        "from postil.cli import main\n"
        f"sys.argv = {['postil', *arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert "typer" in loaded
    # Typer itself checks the numbers of a verb's options with pydantic.
    of_typer = {"pydantic"} if len(arguments) > 1 else set[str]()
    assert not loaded.intersection(_HEAVY) - of_typer


def test_values_and_errors_load_nothing_heavy() -> None:
    loaded = _loaded_after("from postil import Annotation, Budget, Classification, PostilError, Rating, Record")
    assert not loaded.intersection(_HEAVY)


def test_the_code_that_looks_for_heavy_packages_would_see_one() -> None:
    assert "numpy" in _loaded_after("import postil.assess.intervals")
