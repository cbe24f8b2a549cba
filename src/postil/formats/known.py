"""The formats that Postil knows. A new one is a file beside this one and a line here."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from postil.errors import DataError, FormatError
from postil.formats.delimited import CSV, CSV_EXACT, CSV_EXCEL, TSV, TSV_QUOTED, TSV_RAW
from postil.formats.format import Format
from postil.formats.json_array import JSON_ARRAY
from postil.formats.jsonl import JSONL
from postil.formats.parquet import PARQUET

__all__ = ["FORMATS", "format_of"]

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {known.name: known for known in (JSONL, JSON_ARRAY, CSV, CSV_EXACT, CSV_EXCEL, TSV, TSV_QUOTED, TSV_RAW, PARQUET)}
)


def format_of(path: Path, name: str | None = None) -> Format:
    """Return the format of a name, or the one that the ending of a file means.

    Raises:
        FormatError: there is no format of that name.
        DataError: the ending means none.
    """
    if name is not None:
        if name not in FORMATS:
            raise FormatError(f"no format {name!r}", hint=f"Known formats: {', '.join(FORMATS)}")
        return FORMATS[name]
    for known in FORMATS.values():
        if path.suffix.lower() in known.extensions:
            return known
    endings = ", ".join(ending for known in FORMATS.values() for ending in known.extensions)
    raise DataError(
        f"{path}: expected a file name that ends in one of {endings}, got {path.suffix or 'no ending'!r}",
        hint=f"Rename the file, or name its format: {', '.join(FORMATS)}",
    )
