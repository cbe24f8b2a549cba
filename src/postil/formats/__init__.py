"""Files of records, gold and annotations, in and out. `FORMATS` lists the formats; each is one file here.

`FOREIGN` lists those of other tools, which hold records with their answers in that tool's own way.

Reading streams and says where: every record comes with its place, every error names file and line. Nothing is inferred
(a cell "NA" is the text "NA"), nothing is skipped but blank lines. Writing replaces a whole file or leaves it alone.
"""

from postil.formats.annotations import LocatedOutcome, export_row, flat_row, read_annotations
from postil.formats.delimited import ESCAPED, write_csv, write_tsv
from postil.formats.foreign import Asking, Foreign, ReadOutcome, Records, read_foreign, shown_text
from postil.formats.format import STDOUT, Format, Row, Source
from postil.formats.gold import (
    Gold,
    GoldLine,
    accepted,
    gold_answer,
    gold_lines,
    gold_once,
    gold_rationale,
    held_answer,
    read_gold,
)
from postil.formats.jsonl import write_jsonl
from postil.formats.known import FORMATS, format_of
from postil.formats.landing import Configuration, Landing
from postil.formats.offsets import UNITS, Offsets, OffsetUnit
from postil.formats.others import CONFIGURATIONS, FOREIGN, foreign_format, formats_for
from postil.formats.parquet import write_parquet
from postil.formats.records import ID, Located, Unique, differing_records, read_records, read_rows
from postil.formats.replacing import output, replacing

__all__ = [
    "CONFIGURATIONS",
    "ESCAPED",
    "FOREIGN",
    "FORMATS",
    "ID",
    "STDOUT",
    "UNITS",
    "Asking",
    "Configuration",
    "Foreign",
    "Format",
    "Gold",
    "GoldLine",
    "Landing",
    "Located",
    "LocatedOutcome",
    "OffsetUnit",
    "Offsets",
    "ReadOutcome",
    "Records",
    "Row",
    "Source",
    "Unique",
    "accepted",
    "differing_records",
    "export_row",
    "flat_row",
    "foreign_format",
    "format_of",
    "formats_for",
    "gold_answer",
    "gold_lines",
    "gold_once",
    "gold_rationale",
    "held_answer",
    "output",
    "read_annotations",
    "read_foreign",
    "read_gold",
    "read_records",
    "read_rows",
    "replacing",
    "shown_text",
    "write_csv",
    "write_jsonl",
    "write_parquet",
    "write_tsv",
]
