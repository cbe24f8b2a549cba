"""The formats of other tools that Postil knows. A new one is a file beside this one and a line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from postil.errors import FormatError
from postil.formats.argilla import ARGILLA
from postil.formats.autolabel import AUTOLABEL, AUTOLABEL_CONFIG
from postil.formats.brat import BRAT
from postil.formats.conll import CONLL
from postil.formats.docbin import DOCBIN
from postil.formats.doccano import DOCCANO
from postil.formats.foreign import Foreign
from postil.formats.hugging_face import HUGGING_FACE
from postil.formats.known import FORMATS
from postil.formats.label_studio import LABEL_STUDIO
from postil.formats.landing import Configuration
from postil.formats.openai_tuning import OPENAI
from postil.formats.prodigy import PRODIGY
from postil.formats.spacy_llm import SPACY_LLM
from postil.formats.trl import TRL

__all__ = ["CONFIGURATIONS", "FOREIGN", "foreign_format", "formats_for"]

FOREIGN: Final[Mapping[str, Foreign]] = MappingProxyType(
    {
        known.name: known
        for known in (
            *(LABEL_STUDIO, PRODIGY, DOCCANO, ARGILLA),
            *(CONLL, BRAT, DOCBIN),
            *(HUGGING_FACE, TRL, OPENAI),
            AUTOLABEL,
        )
    }
)

CONFIGURATIONS: Final[Mapping[str, Configuration]] = MappingProxyType(
    {known.name: known for known in (AUTOLABEL_CONFIG, SPACY_LLM)}
)
"""Configurations of other tools that a project can be made of."""


def formats_for(kind: str) -> tuple[str, ...]:
    """Return the names of the formats that hold answers of a kind."""
    others = (name for name, known in FOREIGN.items() if known.write and (known.kinds is None or kind in known.kinds))
    return (*others, "jsonl", "csv", "parquet")


def foreign_format(name: str | None) -> Foreign | None:
    """Return the format of another tool with a name, `None` where the name is none of theirs but may be of ours.

    Raises:
        FormatError: there is no format of that name at all.
    """
    if name is None or name in FORMATS:
        return None
    if name not in FOREIGN:
        raise FormatError(f"no format {name!r}", hint=f"Known formats: {', '.join((*FORMATS, *FOREIGN))}")
    return FOREIGN[name]
