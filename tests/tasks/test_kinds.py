"""The list of kinds."""

import pytest

from postil.errors import TaskError
from postil.tasks.kinds import KINDS, task_from_spec


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_listed_under_its_own_name(name: str) -> None:
    assert KINDS[name].kind == name


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TaskError, match=r"one of classification, .* got 'reasons'"):
        task_from_spec({"kind": "reasons"})
