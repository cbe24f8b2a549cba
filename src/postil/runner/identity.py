"""What makes two requests one: the digest of everything that the engine is told (reliability C1)."""

import hashlib
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from postil.canonical import canonical_json
from postil.types import Message, Request


class Digests:
    """Digests that were added, in two bytes each (a Bloom filter, Bloom 1970).

    One that was added is always found. One that was not is found by mistake less than once in a hundred times, so
    whoever finds one has to look it up; the others are spared the look.
    """

    def __init__(self, expected: int) -> None:
        """Make room for as many as are expected; more make more mistakes, and nothing worse."""
        size = 1 << max(16, (2 * expected - 1).bit_length())
        self._bits = bytearray(size)
        self._mask = 8 * size - 1

    def add(self, digest: str) -> None:
        """Add a digest."""
        for place in self._places(digest):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, digest: str) -> bool:
        """Return `False` only if a digest was never added."""
        return all(self._bits[place >> 3] & 1 << (place & 7) for place in self._places(digest))

    def _places(self, digest: str) -> tuple[int, int, int]:
        number, mask = int(digest[7:39], 16), self._mask
        return number & mask, number >> 40 & mask, number >> 80 & mask


def request_digest(engine: str, request: Request) -> str:
    """Return the digest of a request to the engine whose identity has the digest `engine`.

    It is `postil.canonical.digest([engine, request])` with the request as an object of its fields; written by hand,
    because every record needs it.

    Raises:
        DataError: the schema is no JSON.
    """
    choices = ",".join(map(encode_basestring, request.choices))
    messages = ",".join(map(_message, request.messages))
    schema = "null" if request.schema is None else _canonical(request.schema)
    seed = "null" if request.seed is None else f"{request.seed:d}"
    tokens = "true" if request.token_probabilities else "false"
    text = (
        f'[{encode_basestring(engine)},{{"choices":[{choices}],"max_tokens":{request.max_tokens:d}'
        f',"messages":[{messages}],"replicate":{request.replicate:d},"schema":{schema},"seed":{seed}'
        f',"temperature":{float(request.temperature)!r},"token_probabilities":{tokens}}}]'
    )
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()}"


def _message(message: Message) -> str:
    return f'{{"content":{encode_basestring(message.content)},"role":"{message.role}"}}'


def _canonical(schema: Mapping[str, Any]) -> str:
    return canonical_json(schema).decode()
