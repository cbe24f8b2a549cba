"""What every test has: a wall around this machine, a fake model server, patient property tests."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from tests.fake_server import FakeServer

# Machines differ, and nothing here is a test of speed.
hypothesis.settings.register_profile("postil", deadline=None)
hypothesis.settings.load_profile("postil")

_attempts: list[str] = []


class NetworkForbiddenError(RuntimeError):
    """A test tried to leave this machine."""


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A model server on loopback; set its `script`."""
    with FakeServer() as server:
        yield server


@pytest.fixture(autouse=True)
def network_attempts() -> Iterator[list[str]]:
    """Fail a test that tried to leave this machine, even where the code under test caught the error."""
    _attempts.clear()
    yield _attempts
    if _attempts:
        pytest.fail(f"the test tried to reach {', '.join(_attempts)}: tests stay on this machine")


def pytest_configure() -> None:
    """Put the wall up before any test module is imported."""
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, _guarded_method(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, _guarded_lookup(getattr(socket, name)))


def _guarded_method(method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(arguments[-1][0])
        return method(self, *arguments)

    return guarded


def _guarded_lookup(lookup: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if str(name).endswith(".invalid"):
            # Reserved for this (RFC 2606): a name that is never found, and nobody is asked.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        _check(name)
        return lookup(host, *arguments, **options)

    return guarded


def _check(host: str | None) -> None:
    if host in (None, "", "localhost"):
        return
    try:
        inside = ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        inside = False
    if not inside:
        _attempts.append(repr(host))
        raise NetworkForbiddenError(f"tests stay on this machine; this one tried to reach {host!r}")
