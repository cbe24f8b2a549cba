"""What the quick tier shares: one server process for all tests, a scenario of its own for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.torture.project import Tortured, tortured
from tests.torture.serving import Servers, serving

Make = Callable[..., Tortured]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The server of `server.py`."""
    with serving(tmp_path_factory.mktemp("torture-server")) as running:
        yield running


@pytest.fixture
def make(servers: Servers, tmp_path: Path) -> Make:
    """Return a project of so many records under a script: `make(20, script={"faults": {"500": 0.1}}, attempts=3)`."""
    made: list[Tortured] = []

    def make_one(records: int, *, script: dict[str, Any] | None = None, **settings: Any) -> Tortured:
        project = tortured(tmp_path / f"project{len(made)}", servers.scene(**(script or {})), records, **settings)
        made.append(project)
        return project

    return make_one
