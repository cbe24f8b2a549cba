"""The wire: one session for an event loop, one exchange for a request, and what went wrong on the way."""

import asyncio
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from postil._version import __version__
from postil.engines._words import Secret, quoted
from postil.errors import (
    AttemptTimedOut,
    BrokenReply,
    ConnectionLost,
    EngineError,
    ServerUnreachable,
)

_MOST_BYTES: Final = 10_000_000
_LARGE_BODY: Final = 1_000_000
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
    session: aiohttp.ClientSession
    slots: asyncio.Semaphore

    @classmethod
    def opened(cls, url: URL, secret: Secret, *, seconds: float, concurrency: int) -> "Wire":
        """Return a wire on which so many requests may be at once."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"postil/{__version__}",
        }
        if secret.reveal():
            headers["Authorization"] = f"Bearer {secret.reveal()}"
        session = aiohttp.ClientSession(
            # The slots limit it: whoever waits for a connection here would wait against its deadline.
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # One deadline, ours, around everything.
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
        )
        return cls(url, secret, seconds, session, asyncio.Semaphore(concurrency))

    async def exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Send a body, and return status, headers and body of what came back.

        Raises:
            EngineError: nothing came back, or not all of it.
        """
        async with self.slots:
            deadline = asyncio.timeout(self.seconds)
            try:
                async with (
                    deadline,
                    self.session.post(
                        self.url, data=_payload(body), headers=headers, allow_redirects=False
                    ) as response,
                ):
                    return response.status, response.headers, await _received(response)
            except (aiohttp.ClientError, OSError) as error:
                failure = self._translated(error, expired=deadline.expired())
        # Outside the handler: aiohttp's errors hold the request's headers and must not hang on ours as a context.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self.session.close()

    def _translated(self, error: Exception, *, expired: bool) -> EngineError:
        if expired:
            return AttemptTimedOut(f"no whole reply from {self.url} within {self.seconds:g} seconds")
        words = quoted(_cause(error), self.secret)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return ServerUnreachable(
                f"cannot trust {self.url}: {words}", hint="Make the server's certificate known to this machine."
            )
        if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno not in _PASSING:
            return ServerUnreachable(
                f"cannot connect to {self.url}: {words}", hint="Check `base_url`, and that the server is running."
            )
        if isinstance(error, aiohttp.ClientResponseError):
            return BrokenReply(f"{self.url} does not answer in HTTP: {words}")
        if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, ContentEncodingError):
            return BrokenReply(f"the reply of {self.url} cannot be unpacked: {words}")
        return ConnectionLost(f"the connection to {self.url} broke before the reply was whole: {words}")


def _payload(body: bytes) -> bytes | BytesIO:
    """Return a body as aiohttp wants it: a large one as a stream, or it warns that the loop is held up."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


async def _received(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > _MOST_BYTES:
            raise BrokenReply(f"the reply of {response.url} is longer than {_MOST_BYTES} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, socket.gaierror):
            return f"the name {error.host!r} cannot be looked up"
        return error.os_error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message
    return str(error) or type(error).__name__
