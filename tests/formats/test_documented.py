"""docs/formats.md lists every format, with the kinds that each holds."""

import re
from pathlib import Path

import pytest

from postil.formats import FORMATS
from postil.formats.others import CONFIGURATIONS, FOREIGN

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_format_of_ours_is_listed() -> None:
    first, _, _ = PAGE.partition("## Other tools")
    assert set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", first, re.MULTILINE)))) == set(FORMATS)


@pytest.mark.parametrize("name", FOREIGN)
def test_every_format_of_another_tool_is_listed_with_its_kinds(name: str) -> None:
    found = re.search(rf"^\| `{name}` \| .*? \| (.*?) \|", PAGE, re.MULTILINE)
    assert found is not None
    kinds = FOREIGN[name].kinds
    every = kinds is None or len(kinds) == 10
    assert found[1] == ("all" if every else ", ".join(sorted(kinds or ())))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_is_shown(name: str) -> None:
    assert f"--format {name} --items" in PAGE
