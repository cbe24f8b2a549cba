"""HTTP/1.1 as a client of one server needs it: asyncio makes the connections, httptools reads the replies.

A general client makes headers, address, cookies and an object around each reply anew for every request, which takes
more CPU time than all else that a small request needs. Here a request is bytes, and connections are kept.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

import httptools
from yarl import URL

_MOST_BYTES: Final = 10_000_000
"""Of a reply, unpacked."""
_MOST_OF_A_HEAD: Final = 65_536
_LONGEST_IDLE: Final = 15.0
"""Seconds. Servers close what is idle; a request must not meet a connection that is just being closed."""
_NEXT_ADDRESS: Final = 0.25
"""Seconds until a host's next address is tried beside the last one (RFC 8305)."""
_UNPACKED_BY: Final[Mapping[str, int]] = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""What `zlib` has to be told for an encoding."""
_FIRST_OF_ITS_OWN: Final = 200
_LARGE_REQUEST: Final = 65_536
"""Of more than this, a part may still be on its way when the reply has come."""


class BrokenHTTP(Exception):
    """What came is no reply, or none that can be used; the message says why."""


class CannotConnect(Exception):
    """There is no connection; the cause is the system's error."""

    def __init__(self, error: OSError) -> None:
        """Keep the system's error."""
        super().__init__(str(error))
        self.error = error


class Response(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of several with one name, the first."""
    body: bytes


class Connections:
    """The connections to one server, within one event loop. They are made as needed and kept for the next request."""

    def __init__(self, url: URL) -> None:
        """Lead to the host of an absolute address; nothing is connected yet."""
        self._host, self._port = url.raw_host or "", url.port or 0
        # Made once: reading the system's certificates takes as long as a hundred requests.
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._idle: list[tuple[float, Connection]] = []

    async def exchange(self, sent: bytes) -> Response:
        """Send the bytes of a request, and return the reply to it.

        Raises:
            CannotConnect: there is no connection to send it on.
            BrokenHTTP: what came back is no reply.
            OSError: the connection broke before the reply was whole.
        """
        connection = self._kept() or await self._connected()
        exchange = connection.exchange(sent)
        # The key is in it: nobody's traceback must show it.
        del sent
        try:
            response = await exchange
        except BaseException:
            # Called off or broken: what still comes on it belongs to nobody.
            connection.abort()
            raise
        if connection.is_idle:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.abort()
        return response

    def _kept(self) -> "Connection | None":
        """Return the connection that was used last, if it is still good."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, connection = self._idle.pop()
            if now - since < _LONGEST_IDLE and connection.is_idle:
                return connection
            connection.abort()
        return None

    async def _connected(self) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop),
                self._host,
                self._port,
                ssl=self._tls,
                # Certificates are issued to names without the dot at the end.
                server_hostname=self._host.rstrip(".") if self._tls else None,
                happy_eyeballs_delay=_NEXT_ADDRESS,
            )
        except OSError as error:
            failure = CannotConnect(error)
        else:
            return connection
        raise failure

    async def aclose(self) -> None:
        """Close all that are idle."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.abort()
        # The system's sockets are closed in the loop's next turn.
        await asyncio.sleep(0)


class Connection(asyncio.Protocol):
    """One connection, with one request on it at a time; httptools calls the `on_` methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Response] | None = None
        self._good = False
        self._begin()

    def _begin(self) -> None:
        """Expect a reply; nothing of the one before is kept."""
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._came = self._size = 0
        self._has_head = False

    @property
    def is_idle(self) -> bool:
        """Whether the next request can be sent on it."""
        return self._good and self._waiter is None

    async def exchange(self, sent: bytes) -> Response:
        if self._transport is None or not self._good:
            raise ConnectionResetError("the server disconnected")
        self._waiter = waiter = self._loop.create_future()
        self._transport.write(sent)
        is_large = len(sent) > _LARGE_REQUEST
        del sent
        try:
            response = await waiter
        finally:
            self._waiter = None
        if is_large and not 200 <= response.status < 300:
            self._good = False
        encoding = response.headers.get("content-encoding")
        return response._replace(body=_unpacked(response.body, encoding)) if encoding else response

    def abort(self) -> None:
        self._good = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._good = cast("asyncio.Transport", transport), True
        # A server that is gone without a word is found out, however long its replies may take.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            # Nobody asked: whatever it is, it is no reply to the next request.
            self.abort()
            return
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            # A defect of ours: it is shown as what it is.
            self._fail(error.__context__ if isinstance(error.__context__, Exception) else error)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenHTTP(f"it does not answer in HTTP: {error}"))
        if not self._has_head and self._came > _MOST_OF_A_HEAD:
            self._fail(BrokenHTTP(f"it does not answer in HTTP: its headers are longer than {_MOST_OF_A_HEAD} bytes"))
        elif self._came > _MOST_BYTES + _MOST_OF_A_HEAD:
            # What stands between and behind the pieces of a body counts too.
            self._fail(BrokenHTTP(_TOO_LONG))

    def eof_received(self) -> None:
        # Without a length, a reply ends with the connection (RFC 9112, 6.3).
        until_the_end = self._has_head and not self._headers.keys() & {"content-length", "transfer-encoding"}
        self._good = False
        if until_the_end:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._good = False
        self._fail(exc or ConnectionResetError("the server disconnected"))

    # What httptools calls

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            # Whatever begins behind a reply is not the next one: nobody has asked for that yet.
            self._good = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the body come trailers, which must not change what was said before it (RFC 9110, 6.5.1).
        if not self._has_head:
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _MOST_BYTES:
            self._fail(BrokenHTTP(_TOO_LONG))
        else:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        # Before it, a server may announce a reply with others (RFC 9110, 15.2).
        if self._parser.get_status_code() >= _FIRST_OF_ITS_OWN:
            # A reply may come before all of the request has gone: the rest of it must not meet the next reply.
            sent = self._transport is not None and not self._transport.get_write_buffer_size()
            self._good = self._good and sent and self._parser.should_keep_alive()
            self._complete()
        self._begin()

    def _complete(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Response(self._parser.get_status_code(), self._headers, b"".join(self._pieces)))

    def _fail(self, error: Exception) -> None:
        self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


_TOO_LONG: Final = f"the reply is longer than {_MOST_BYTES} bytes"


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without the encoding that some servers use unasked."""
    if encoding.lower() == "identity":
        return body
    bits = _UNPACKED_BY.get(encoding.lower())
    if bits is None:
        raise BrokenHTTP(f"the reply cannot be unpacked: nobody asked for the encoding {encoding!r}")
    unpacking = zlib.decompressobj(bits)
    try:
        unpacked = unpacking.decompress(body, _MOST_BYTES + 1)
    except zlib.error as error:
        failure = BrokenHTTP(f"the reply cannot be unpacked: {error}")
    else:
        if len(unpacked) > _MOST_BYTES:
            failure = BrokenHTTP(_TOO_LONG)
        elif not unpacking.eof:
            failure = BrokenHTTP("the reply cannot be unpacked: it ends too soon")
        else:
            return unpacked
    raise failure
