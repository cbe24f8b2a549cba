"""Replies gone wrong: what models, servers and attackers make of a right answer (reliability A1, A5, A6, A7, A9)."""

import copy
import json
import random
from collections.abc import Collection, Iterator
from typing import Any

ODD = "ж☂zq"
"""In no text and no label of any test."""

Path = tuple[str | int, ...]


def mutations(written: str, rng: random.Random, *, free: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield names and texts of replies that must not be read as anything but an error or the answer in `written`.

    `written` is a right answer as JSON. Left out is what would be a right answer to another question: an element that
    is missing, another label of the set. `free` are the keys of free text, which may say anything.
    """
    yield from _cuts(written, rng)
    yield from _around(written)
    yield from _spelled(written)
    value = json.loads(written)
    for name, changed in _changed(value, rng, free):
        yield name, json.dumps(changed, ensure_ascii=False)


def _cuts(written: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield the reply cut off at every n-th byte, wherever that falls in a character."""
    raw = written.encode()
    step = max(1, len(raw) // 80)
    for at in range(rng.randrange(step), len(raw), step):
        yield f"cut at byte {at}", raw[:at].decode("utf-8", "ignore")
    for at in (1, 2, 3):
        yield f"{at} bytes short", raw[:-at].decode("utf-8", "ignore")
        yield f"without its first {at} bytes", raw[at:].decode("utf-8", "ignore")


def _around(written: str) -> Iterator[tuple[str, str]]:
    yield "prose before", f"Sure! Here is the answer:\n{written}"
    yield "prose after", f"{written}\nI hope this helps!"
    yield "prose around", f"好的，答案是 {written}，请查收。"
    yield "prose around a fence", f"Here:\n```json\n{written}\n```\nDone."
    yield "in a fence", f"```json\n{written}\n```"
    yield "in half a fence", f"```json\n{written}"
    yield "twice", f"{written}\n{written}"
    yield "two objects", f'{written} {{"{ODD}": 1}}'
    yield "an empty object first", f"{{}}\n{written}"
    yield "a draft, then the answer", f'{{"{ODD}": 1}}\nAnswer: {written}'
    yield "two answers", f"Answer: {written}\nAnswer: {{}}"
    yield "in a list", f"[{written}]"
    yield "as a string", json.dumps(written)
    yield "in an object", f'{{"answer": {written}}}'
    yield "trailing bracket", f"{written}}}"
    yield "trailing comma", f"{written},"
    yield "trailing text", f"{written} {ODD}"
    yield "in thoughts only", f"<think>{written}</think>"
    yield "in thoughts without an end", f"<think>{written}"
    yield "byte order mark", f"\ufeff{written}"
    yield "a null byte after it", f"{written}\0"
    yield from (("empty", ""), ("blank", " \n"), ("null", "null"), ("no object", "[]"), ("an empty object", "{}"))
    yield "a refusal", "I'm sorry, but I can't help with that."
    yield "deep", '{"a":' * 5000
    yield "a million brackets", "[" * 1_000_000


def _spelled(written: str) -> Iterator[tuple[str, str]]:
    """Yield the reply in what is nearly JSON."""
    yield "single quotes", written.replace('"', "'")
    yield "curly quotes", written.replace('"', "“")
    yield "no quotes", written.replace('"', "")
    yield "comma at the end", f"{written[:-1]},}}"
    yield "comment", f"{written[:-1]} /* done */ }}"
    yield "key twice", f"{{{_first_member(written)}, {written[1:]}"
    yield "key twice, the first null", f"{{{json.dumps(next(iter(json.loads(written))))}: null, {written[1:]}"
    yield "NaN", f'{written[:-1]}, "{ODD}": NaN}}'
    yield "infinity", f'{written[:-1]}, "{ODD}": 1e999}}'
    yield "half an emoji", written.replace(": ", ': "\\ud83d", "x": ', 1)
    yield "full-width", written.replace("{", "｛").replace("}", "｝")


def _first_member(written: str) -> str:
    [key, *_] = value = json.loads(written)
    return json.dumps({key: value[key]}, ensure_ascii=False)[1:-1]


def _changed(value: Any, rng: random.Random, free: Collection[str]) -> Iterator[tuple[str, Any]]:
    paths = list(_paths(value))
    for path in rng.sample(paths, min(len(paths), 40)):
        held = _at(value, path)
        where = "/".join(map(str, path))
        for other in rng.sample(_other_types(held), 3):
            yield f"{where} is {other!r}", _with(value, path, other)
        if isinstance(held, str) and path[0] not in free:
            yield f"{where} garbled", _with(value, path, ODD + held[::-1])
            for at in rng.sample(range(len(held)), min(len(held), 2)):
                yield f"{where} mistyped at {at}", _with(value, path, f"{held[:at]}ж{held[at + 1 :]}")
        if isinstance(held, dict):
            yield f"{where} with a key too many", _with(value, path, {**held, ODD: 1})
            yield f"{where} with offsets off by one", _with(value, path, {**held, "start": 1, "end": 3})
        if isinstance(path[-1], str) and path[-1] != "occurrence":
            yield f"{where} missing", _without(value, path)
            yield f"{where} renamed", _with(_without(value, path), (*path[:-1], ODD), held)
    yield "a key too many", {**value, ODD: []}
    yield from _lists(value, paths, rng)
    yield "all ids alike", _all_ids(value, "T1")


def _lists(value: Any, paths: list[Path], rng: random.Random) -> Iterator[tuple[str, Any]]:
    """Yield the reply with an element twice, and with one that is made up."""
    for path in paths:
        held = _at(value, path)
        if not isinstance(held, list) or not held:
            continue
        where, element = "/".join(map(str, path)), rng.choice(held)
        yield f"{where} with an element twice", _with(value, path, [*held, element])
        yield f"{where} with null", _with(value, path, [*held, None])
        yield f"{where} in a list", _with(value, path, [held])
        if isinstance(element, dict) and "text" in element:
            invented = {**element, "text": f"{ODD} invented"} | ({"id": ODD} if "id" in element else {})
            yield f"{where} with an invented element", _with(value, path, [*held, invented])


def _other_types(held: Any) -> list[Any]:
    """Return values of other types; none of them could be meant."""
    odd: list[Any] = [True, 1e9, -7, 0.5, ODD, {ODD: ODD}, [ODD], [[]], [None]]
    if isinstance(held, str):
        return [each for each in odd if not isinstance(each, str)]
    if isinstance(held, list):
        # An empty list may be right, and a list of something is no other type.
        return [None, *(each for each in odd if not isinstance(each, list))]
    if held is None:
        return odd
    return [None, *odd] if isinstance(held, dict) else odd


def _all_ids(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: name if key == "id" else _all_ids(held, name) for key, held in value.items()}
    return [_all_ids(each, name) for each in value] if isinstance(value, list) else value


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in members:
        yield (*path, key)
        yield from _paths(held, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: Path, held: Any) -> Any:
    changed = copy.deepcopy(value)
    _at(changed, path[:-1])[path[-1]] = held
    return changed


def _without(value: Any, path: Path) -> Any:
    changed = copy.deepcopy(value)
    del _at(changed, path[:-1])[path[-1]]
    return changed
