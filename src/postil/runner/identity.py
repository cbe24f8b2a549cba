"""What makes two requests one: the digest of everything that the engine is told (reliability C1)."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from postil.canonical import canonical_json
from postil.types import Message, Request

_KNOWN_SCHEMAS: Final = 64


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
        bits = self._bits
        one, two, three = self._places(digest)
        return bool(bits[one >> 3] >> (one & 7) & bits[two >> 3] >> (two & 7) & bits[three >> 3] >> (three & 7) & 1)

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
    asked = request.messages
    messages = ",".join([*map(_shared_message, asked[:-1]), *map(_message, asked[-1:])])
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


# Instruction and demonstrations recur in every prompt; only the last message is a record's own.
_shared_message = lru_cache(maxsize=256)(_message)

_schemas: dict[int, tuple[Mapping[str, Any], str]] = {}


def _canonical(schema: Mapping[str, Any]) -> str:
    """Return a schema in its canonical form, worked out once: all requests of a prompt hold the same object."""
    known = _schemas.get(id(schema))
    # Held on to, so that no other object gets its id.
    if known is None or known[0] is not schema:
        if len(_schemas) >= _KNOWN_SCHEMAS:
            _schemas.clear()
        known = _schemas[id(schema)] = schema, canonical_json(schema).decode()
    return known[1]
