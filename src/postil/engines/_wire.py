"""The wire: what all requests to one address have in common, one exchange for a request, and what went wrong."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from postil._version import __version__
from postil.engines._http import BrokenHTTP, CannotConnect, Connections, Response
from postil.engines._words import Secret, quoted
from postil.errors import AttemptTimedOut, BrokenReply, ConnectionLost, EngineError, ServerUnreachable

# Errors while connecting that pass by themselves; all others mean that nothing answers there.
_PASSING: Final = frozenset(
    {errno.ECONNRESET, errno.ECONNABORTED, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.EINTR}
)


@dataclass(frozen=True, slots=True)
class Wire:
    """What belongs to one event loop. Nothing is connected before the first request."""

    url: URL
    secret: Secret
    seconds: float
    """Time for one attempt, from connecting to the last byte."""
    connections: Connections
    head: str = field(repr=False)
    """The first lines of all requests; the key is in them."""
    slots: asyncio.Semaphore = field(repr=False)

    @classmethod
    def opened(cls, url: URL, secret: Secret, *, seconds: float, concurrency: int) -> "Wire":
        """Return a wire on which so many requests may be at once."""
        headers = {
            "Host": url.host_port_subcomponent or "",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"postil/{__version__}",
        }
        if secret.reveal():
            headers["Authorization"] = f"Bearer {secret.reveal()}"
        head = f"POST {url.raw_path} HTTP/1.1\r\n{_lines(headers)}"
        return cls(url, secret, seconds, Connections(url), head, asyncio.Semaphore(concurrency))

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a body, and return what came back.

        Raises:
            EngineError: nothing came back, or not all of it.
        """
        # Whoever waits for a slot does not wait against the deadline.
        async with self.slots:
            deadline = asyncio.timeout(self.seconds)
            try:
                async with deadline:
                    return await self.connections.exchange(self._request(body, headers))
            except (BrokenHTTP, CannotConnect, OSError) as error:
                failure = self._translated(error, expired=deadline.expired())
        # Outside the handler: nobody's traceback must lead to the key.
        raise failure

    def _request(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        return f"{self.head}{_lines(headers)}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body

    async def aclose(self) -> None:
        """Close the connections."""
        await self.connections.aclose()

    def _translated(self, error: Exception, *, expired: bool) -> EngineError:
        if expired:
            return AttemptTimedOut(f"no whole reply from {self.url} within {self.seconds:g} seconds")
        if isinstance(error, CannotConnect):
            return self._unconnected(error.error)
        words = quoted(str(error) or type(error).__name__, self.secret)
        if isinstance(error, BrokenHTTP):
            return BrokenReply(f"the reply of {self.url} cannot be used: {words}")
        return ConnectionLost(f"the connection to {self.url} broke before the reply was whole: {words}")

    def _unconnected(self, error: OSError) -> EngineError:
        words = quoted(str(error) or type(error).__name__, self.secret)
        if isinstance(error, ssl.SSLCertVerificationError):
            return ServerUnreachable(
                f"cannot trust {self.url}: {words}", hint="Make the server's certificate known to this machine."
            )
        if isinstance(error, ConnectionResetError | ConnectionAbortedError) or error.errno in _PASSING:
            return ConnectionLost(f"the connection to {self.url} broke before anything was sent: {words}")
        if isinstance(error, socket.gaierror):
            words = f"the name {self.url.host!r} cannot be looked up"
        return ServerUnreachable(
            f"cannot connect to {self.url}: {words}", hint="Check `base_url`, and that the server is running."
        )


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
