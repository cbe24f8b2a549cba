"""Writing a first postil.toml: a few lines that a person will go on editing."""

from collections.abc import Mapping, Sequence

from postil.errors import SettingsError
from postil.types import JSON

Tables = Mapping[tuple[str, ...], Mapping[str, JSON]]
"""Path of a table -> its keys: `("annotators", "small")` is written `[annotators.small]`."""


def toml(tables: Tables) -> str:
    """Return tables as TOML text that reads back as the same values; a key that holds `None` is left out.

    Raises:
        SettingsError: a value cannot be written in TOML.
    """
    return "\n".join(f"[{'.'.join(map(_key, path))}]\n{_lines(table)}" for path, table in tables.items())


def _lines(table: Mapping[str, JSON]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else _text(key)


def _value(value: JSON) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_value(held)}" for key, held in value.items() if held is not None)
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return f"[{', '.join(map(_value, value))}]"
    raise SettingsError(f"expected text, a number, true, false, a list or a table, got {value!r}")


def _text(text: str) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise SettingsError(f"the text {text!a:.80} holds half a character (a lone surrogate), which no file can hold")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    # What cannot be seen is escaped, so that a person who edits the file sees all that is there.
    return '"' + "".join(map(_visible, quoted)) + '"'


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or f"\\U{ord(character):08X}"
