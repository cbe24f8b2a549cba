"""Writing a first postil.toml: a few lines that a person will go on editing."""

from collections.abc import Mapping

from postil.types import JSON


def toml(tables: Mapping[str, Mapping[str, JSON]]) -> str:
    """Return tables as TOML text; values are text, numbers, booleans, lists of text or mappings to text."""
    return "\n".join(f"[{name}]\n{_lines(table)}" for name, table in tables.items())


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
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(str(key))} = {_value(held)}" for key, held in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return _text(str(value))


def _text(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    shown = "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in quoted)
    return f'"{shown}"'
