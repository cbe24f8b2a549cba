"""Tests cannot leave this machine: the switch in `conftest.py` itself."""

import socket
import urllib.request

import pytest

from tests.fake_server import FakeServer


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7", "10.0.0.1", "0x08080808"])
def test_a_connection_to_another_machine_fails_and_is_remembered(address: str, network_attempts: list[str]) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as outside, pytest.raises(RuntimeError, match="tests stay on this machine"):
        outside.connect((address, 80))
    assert network_attempts == [repr(address)]
    network_attempts.clear()


def test_looking_up_a_name_fails_and_is_remembered(network_attempts: list[str]) -> None:
    with pytest.raises(RuntimeError, match="tests stay on this machine"):
        socket.create_connection(("models.example", 80))
    with pytest.raises(RuntimeError, match="tests stay on this machine"):
        urllib.request.urlopen("http://models.example/")
    assert network_attempts == ["'models.example'"] * 2
    network_attempts.clear()


def test_names_under_invalid_are_never_found_and_nobody_is_asked(network_attempts: list[str]) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("models.invalid", 80)
    assert network_attempts == []


def test_this_machine_can_be_reached(fake_server: FakeServer, network_attempts: list[str]) -> None:
    with socket.create_connection(("localhost", fake_server.port)) as connection:
        assert connection.getpeername()[1] == fake_server.port
    assert network_attempts == []
