"""HTTP as servers speak it, byte by byte, on real sockets (reliability R7, R11)."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from yarl import URL

from postil.engines import _http
from postil.engines._http import BrokenHTTP, CannotConnect, Connections, Response

OK = b"HTTP/1.1 200 OK\r\n"
ASK = b"POST /v1 HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers each request on a connection with the next of its replies: bytes, in pieces; then closes it."""

    def __init__(self, *replies: list[bytes]) -> None:
        self.replies = [*replies]
        self.connections = 0
        self.deaf = False
        """Whether it reads nothing more once it has replied."""
        self.tasks: set[asyncio.Task[None] | None] = set()
        self.after: Callable[[asyncio.StreamWriter], None] = lambda _: None
        self.address = URL()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while self.replies:
                await reader.readexactly(len(ASK))
                for piece in self.replies.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    # A piece of its own on its way.
                    await asyncio.sleep(0.002)
                self.after(writer)
                if self.deaf:
                    await asyncio.sleep(0.05)
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(server: Server, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Connections, None]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.address = URL(f"{'https' if tls else 'http'}://localhost:{port}/v1")
    connections = Connections(server.address)
    try:
        yield connections
    finally:
        await connections.aclose()
        listening.close()
        # Whoever still waits for a request learns that there is none: its connection is closed.
        await asyncio.gather(*(task for task in server.tasks if task))


async def said(*replies: list[bytes]) -> Response:
    async with serving(Server(*replies)) as connections:
        return await connections.exchange(ASK)


def sized(body: bytes, *headers: bytes) -> bytes:
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (OK, b"".join(header + b"\r\n" for header in headers), len(body), body)


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n3\r\nab\xe4\r\n1\r\n\xbd\r\n1\r\n\xa0\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        [sized("ab你".encode())],
        [OK + CHUNKED],
        # Announced by another; and with no length, so that it ends with the connection.
        [b"HTTP/1.1 100 Continue\r\n\r\n", sized("ab你".encode())],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + sized("ab你".encode())],
        [OK + b"\r\n" + "ab你".encode()],
        [b"HTTP/1.0 200 OK\r\n\r\n", "ab你".encode()],
        [sized(gzip.compress("ab你".encode()), b"Content-Encoding: gzip")],
        [bytes([byte]) for byte in sized("ab你".encode())],
    ],
)
async def test_a_reply_is_read_whole_however_it_comes(reply: list[bytes]) -> None:
    came = await said(reply)
    assert (came.status, came.body.decode()) == (200, "ab你")


async def test_headers_are_found_in_lower_case_and_the_first_of_two_counts() -> None:
    came = await said([sized(b"{}", b"Retry-After: 7", b"RETRY-AFTER: 9", b"X-Text: caf\xe9")])
    assert (came.headers["retry-after"], came.headers["x-text"]) == ("7", "café")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "does not answer in HTTP"),
        ([OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], "does not answer in HTTP"),
        ([OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"], "does not answer in HTTP"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"], "does not answer in HTTP"),
        ([OK, *[b"X: " + b"y" * 8_000 + b"\r\n"] * 9], "headers are longer than 65536 bytes"),
        ([sized(b"{}", b"Content-Encoding: br")], "nobody asked for the encoding 'br'"),
        ([sized(gzip.compress(b"{}" * 99)[:-9], b"Content-Encoding: gzip")], "it ends too soon"),
        (
            [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X: " + b"y" * 999_000 + b"\r\n"] * 11],
            "is longer than",
        ),
    ],
)
async def test_what_is_no_reply_is_none(reply: list[bytes], words: str) -> None:
    with pytest.raises(BrokenHTTP, match=words):
        await said(reply)


async def test_trailers_change_nothing() -> None:
    trailers = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Encoding: gzip\r\nRetry-After: 9\r\n\r\n"
    came = await said([OK + trailers])
    assert (came.body, came.headers.keys()) == (b"{}", {"transfer-encoding"})


@pytest.mark.parametrize("last", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", b""])
async def test_a_reply_that_is_only_announced_is_lost(last: bytes) -> None:
    server = Server([b"HTTP/1.1 204 No Content\r\n\r\n"], [last])
    async with serving(server) as connections:
        assert (await connections.exchange(ASK)).status == 204
        with pytest.raises(ConnectionError):
            await connections.exchange(ASK)


async def test_one_connection_serves_one_request_after_another() -> None:
    server = Server(*([sized(b"%d" % number)] for number in range(5)))
    async with serving(server) as connections:
        assert [(await connections.exchange(ASK)).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert server.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        [sized(b"first", b"Connection: close")],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfirst"],
        # More than the reply: the rest would be taken for the next one.
        [sized(b"first") + sized(b"stray")],
        [sized(b"first"), sized(b"stray")],
        [sized(b"first") + b"stray"],
        # The beginning of another one, which would go on with the next.
        [sized(b"first") + b"H"],
        [sized(b"first") + OK],
        [sized(b"first") + b"HTTP/1.1 100 Continue\r\n\r\n"],
        [sized(b"first") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsec"],
    ],
)
async def test_a_connection_that_is_not_clean_is_not_used_again(first: list[bytes]) -> None:
    server = Server(first, [sized(b"second")])
    async with serving(server) as connections:
        assert (await connections.exchange(ASK)).body == b"first"
        await asyncio.sleep(0.02)
        assert (await connections.exchange(ASK)).body == b"second"
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    server = Server([sized(b"first")], [sized(b"second")])
    server.after = lambda writer: writer.close()
    async with serving(server) as connections:
        assert (await connections.exchange(ASK)).body == b"first"
        await asyncio.sleep(0.02)
        assert (await connections.exchange(ASK)).body == b"second"


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([sized(b"first")], [sized(b"second")])
    async with serving(server) as connections:
        await connections.exchange(ASK)
        monkeypatch.setattr(_http, "_LONGEST_IDLE", 0.0)
        assert (await connections.exchange(ASK)).body == b"second"
    assert server.connections == 2


async def test_a_request_called_off_leaves_its_reply_to_nobody() -> None:
    server = Server([sized(b"first")[:-1]], [sized(b"second")])
    async with serving(server) as connections:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connections.exchange(ASK), 0.05)
        assert (await connections.exchange(ASK)).body == b"second"
    assert server.connections == 2


async def test_a_reply_that_comes_before_the_request_has_gone_leaves_none_of_it_behind() -> None:
    server = Server([b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"], [sized(b"second")])
    server.deaf = True
    async with serving(server) as connections:
        assert (await connections.exchange(ASK + b"x" * 20_000_000)).status == 413
        assert (await connections.exchange(ASK)).body == b"second"
    assert server.connections == 2


async def test_nobodys_traceback_shows_what_was_sent() -> None:
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
    async with serving(server) as connections:
        with pytest.raises(ConnectionError) as lost:
            await connections.exchange(ASK)
    frames = [frame for frame in lost.traceback if frame.path == Path(_http.__file__)]
    assert len(frames) >= 2
    assert not any(b"POST" in value for frame in frames for value in frame.locals.values() if isinstance(value, bytes))


async def test_tls_is_spoken_with_those_who_are_trusted_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    server = Server([sized(b"first")], [sized(b"second")])
    async with serving(server, tls) as connections:
        with pytest.raises(CannotConnect, match="certificate") as refused:
            await connections.exchange(ASK)
        assert isinstance(refused.value.error, ssl.SSLCertVerificationError)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        trusting = Connections(server.address)
        assert [(await trusting.exchange(ASK)).body for _ in range(2)] == [b"first", b"second"]
        await trusting.aclose()


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serving(Server([sized(b"{}")]), tls) as connections:
        with pytest.raises(CannotConnect, match="Hostname mismatch"):
            await connections.exchange(ASK)
