"""Files of records, gold and annotations, in and out. `FORMATS` lists the formats; each is one file here.

Those of other tools, which hold records with their answers in that tool's own way, are listed in
`postil.formats.others`, which is loaded where one of them is named.

Reading streams and says where: every record comes with its place, every error names file and line. Nothing is inferred
(a cell "NA" is the text "NA"), nothing is skipped but blank lines. Writing replaces a whole file or leaves it alone.
"""

from postil.formats.annotations import LocatedOutcome, export_row, flat_row, read_annotations
from postil.formats.delimited import ESCAPED, write_csv, write_tsv
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
from postil.formats.offsets import UNITS, Offsets, OffsetUnit
from postil.formats.parquet import write_parquet
from postil.formats.records import ID, Located, Unique, differing_records, read_records, read_rows
from postil.formats.replacing import output, replacing

__all__ = [
    "ESCAPED",
    "FORMATS",
    "ID",
    "STDOUT",
    "UNITS",
    "Format",
    "Gold",
    "GoldLine",
    "Located",
    "LocatedOutcome",
    "OffsetUnit",
    "Offsets",
    "Row",
    "Source",
    "Unique",
    "accepted",
    "differing_records",
    "export_row",
    "flat_row",
    "format_of",
    "gold_answer",
    "gold_lines",
    "gold_once",
    "gold_rationale",
    "held_answer",
    "output",
    "read_annotations",
    "read_gold",
    "read_records",
    "read_rows",
    "replacing",
    "write_csv",
    "write_jsonl",
    "write_parquet",
    "write_tsv",
]
