"""Named fields with types: what a reply must say in each, and when two values are the same (survey 0.02)."""

import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, Literal, cast, get_args

from postil.errors import Ambiguous, AnswerError, NotFound, OutsideLabels, TaskError, Unreadable
from postil.tasks import Language, Option
from postil.tasks.alignment import places
from postil.tasks.choice import defined_labels, folded_forms
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import REASON_KEYS
from postil.tasks.specs import names_and_meanings
from postil.types import JSON

FieldType = Literal["label", "number", "date", "text", "list"]
Texts = Mapping[str, str]
"""The texts that verbatim values must stand in, by the names of their fields."""

_DATE: Final = re.compile(
    r"(?P<day>[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)"
    r"(?:T(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_EXACT: Final = 2**53
"""Whole numbers beyond this are not all there as floats."""

_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "label": "one of {labels}",
        "number": "a number",
        "date": "a date as YYYY-MM-DD",
        "text": "text",
        "text verbatim": "words of the text, copied exactly",
        "list": "a list of texts, [] if there are none",
        "list verbatim": "a list of words of the text, copied exactly, [] if there are none",
        "list of labels": "a list of those of {labels} that apply, [] if none does",
        "optional": ", or null if the text does not say",
        "description": ". ",
        "definition": " ({})",
        "comma": ", ",
    },
    "zh": {
        "label": "{labels} 之一",
        "number": "一个数字",
        "date": "日期，写成 YYYY-MM-DD",
        "text": "文字",
        "text verbatim": "原文中的词句，逐字照抄",
        "list": "文字的列表，没有就写 []",
        "list verbatim": "原文词句的列表，逐字照抄，没有就写 []",
        "list of labels": "{labels} 中适用者的列表，都不适用就写 []",
        "optional": "，原文没有说就写 null",
        "description": "。",
        "definition": "（{}）",
        "comma": "、",
    },
}
_TOKENS: Final[Mapping[FieldType, int]] = {"label": 8, "number": 24, "date": 32, "text": 128, "list": 256}


@dataclass(frozen=True, slots=True)
class Field:
    """One named field of an answer."""

    name: str
    type: FieldType
    labels: tuple[str, ...] = ()
    """The values of a label, or those that a list may hold."""
    definitions: tuple[str, ...] = ()
    """What each of the labels means, empty where nobody said."""
    description: str = ""
    optional: bool = False
    """Whether null will do, for what a text does not say."""
    verbatim: bool = False
    """Whether a text must stand in the record, word for word."""

    @classmethod
    def of(cls, task: str, definition: Mapping[str, Any]) -> "Field":
        """Return the field that a table defines.

        Raises:
            TaskError: it cannot work; the message names the field and what is wrong.
        """
        name = definition.get("name")
        if not isinstance(name, str) or not fold(name) or not name.isprintable() or name in REASON_KEYS:
            raise TaskError(f"task {task!r}: {name!r} cannot be the name of a field")
        where = f"{task}.{name}"
        known = [each.name for each in fields(cls) if each.name != "definitions"]
        if unknown := sorted(definition.keys() - set(known)):
            raise TaskError(f"task {where!r}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
        labels = definition.get("labels") or ()
        defined = defined_labels(where, labels) if labels else {}
        found = cls(
            name,
            definition.get("type", "label" if labels else "text"),
            tuple(defined),
            tuple(defined.values()),
            definition.get("description", ""),
            definition.get("optional", False),
            definition.get("verbatim", False),
        )
        found._check(where)
        return found

    def _check(self, where: str) -> None:
        if self.type not in get_args(FieldType):
            raise TaskError(f"task {where!r}: `type` is one of {', '.join(get_args(FieldType))}, got {self.type!r}")
        if type(self.description) is not str or {type(self.optional), type(self.verbatim)} != {bool}:
            raise TaskError(f"task {where!r}: `description` is text, `optional` and `verbatim` are true or false")
        if bool(self.labels) != (self.type == "label") and self.type != "list":
            raise TaskError(f"task {where!r}: `labels` belong to a label, or to a list of them")
        if self.verbatim and (self.labels or self.type not in ("text", "list")):
            raise TaskError(f"task {where!r}: only a text or a list of texts can be `verbatim`")
        folded_forms(self.labels, (), of=f"task {where!r}")

    @property
    def spec(self) -> Mapping[str, JSON]:
        """The table from which `of` makes an equal field, `as_given`."""
        table = {
            **names_and_meanings("labels", map(Option, self.labels, self.definitions)),
            "description": self.description,
            "optional": self.optional,
            "verbatim": self.verbatim,
        }
        return {"name": self.name, "type": self.type, **{key: value for key, value in table.items() if value}}

    # Asking

    def wanted(self, language: Language) -> str:
        """Return what the field must hold, in words."""
        words = _WORDS[language]
        key = self.type + (" of labels" if self.type == "list" and self.labels else " verbatim" * self.verbatim)
        labels = words["comma"].join(
            json.dumps(label, ensure_ascii=False) + (words["definition"].format(meaning) if meaning else "")
            for label, meaning in zip(self.labels, self.definitions, strict=True)
        )
        said = words[key].format(labels=labels) + (words["optional"] if self.optional else "")
        return said + (words["description"] + self.description if self.description else "")

    @property
    def schema(self) -> Mapping[str, JSON]:
        """The JSON schema of its values."""
        one: dict[str, JSON] = {"type": "number" if self.type == "number" else "string"}
        if self.labels:
            one["enum"] = list(self.labels)
        if self.type == "list":
            one = {"type": "array", "items": one}
        if self.optional:
            one["type"] = [one["type"], "null"]
            if "enum" in one:
                one["enum"] = [*one["enum"], None]
        return one

    @property
    def tokens(self) -> int:
        """How long its name and value may be at first."""
        return (
            _TOKENS[self.type] + len(self.name.encode()) + max((len(each.encode()) for each in self.labels), default=0)
        )

    # Reading

    def read(self, value: JSON, texts: Texts | None, dropped: list[str] | None = None) -> JSON:
        """Return a value in its one canonical form.

        Args:
            value: As a reply or a gold file has it.
            texts: Where verbatim words must stand; `None` where nobody can look.
            dropped: Takes the reasons why words that stand nowhere were left out; `None`: they are an error.

        Raises:
            AnswerError: it is no value of this field; the message names the field.
        """
        if value is None and self.optional:
            return None
        try:
            if self.type != "list":
                return self.one(value, texts)
            return self._list(value, texts, dropped)
        except (NotFound, Ambiguous) as error:
            if dropped is None or not self.optional:
                raise
            dropped.append(str(error.args[0]))
            return None

    def _list(self, value: JSON, texts: Texts | None, dropped: list[str] | None) -> JSON:
        if not isinstance(value, (list, tuple)):
            raise self._wrong(value)
        found: dict[JSON, None] = {}
        for item in cast("Sequence[JSON]", value):
            try:
                found[self.one(item, texts)] = None
            except (NotFound, Ambiguous) as error:
                if dropped is None:
                    raise
                dropped.append(str(error.args[0]))
        return sorted(found, key=self.labels.index) if self.labels else list(found)

    def one(self, value: JSON, texts: Texts | None = None) -> JSON:
        """Return one value in its canonical form: the field's own, or one that its list may hold.

        Raises:
            AnswerError: it is none.
        """
        if self.labels:
            return self._label(value)
        if self.type == "number":
            return self._number(value)
        if self.type == "date":
            return self._date(value)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(value)
        return self._verbatim(value.strip(), texts) if self.verbatim and texts is not None else value.strip()

    def _label(self, value: JSON) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self._wrong(value)
        label = _forms(self.labels).get(fold(str(value)))
        if label is None:
            raise OutsideLabels(
                f"{self.name!r}: expected one of {clip(', '.join(self.labels))}; got {clip(repr(value))}"
            )
        return label

    def _number(self, value: JSON) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(value)
        if isinstance(value, int):
            return value
        if not math.isfinite(value):
            raise self._wrong(value)
        # 4 and 4.0 are one number, and must be one value.
        return int(value) if value.is_integer() and abs(value) < _EXACT else value

    def _date(self, value: JSON) -> str:
        match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self._wrong(value)
        # A year or a month is a date of less precision; a time stands on a whole day only.
        day, time = match["day"], match["time"]
        try:
            dt.date.fromisoformat(day + "0001-01-01"[len(day) :])
            dt.time.fromisoformat((time or "00:00") + (match["zone"] or ""))
        except ValueError:
            raise self._wrong(value) from None
        if time and len(day) < len("0001-01-01"):
            raise self._wrong(value)
        return match[0]

    def _verbatim(self, quote: str, texts: Texts) -> str:
        if any(quote in text for text in texts.values()):
            return quote
        found = {text[at.start : at.end] for text in texts.values() for at in places(quote, text)}
        if len(found) > 1:
            raise Ambiguous(
                f"{self.name!r}: {clip(quote)!r} could be any of {clip(', '.join(map(repr, sorted(found))))}"
            )
        if not found:
            raise NotFound(f"{self.name!r}: {clip(quote)!r} does not stand in the text: copy it letter by letter")
        return found.pop()

    def _wrong(self, value: JSON) -> AnswerError:
        return Unreadable(f"{self.name!r}: expected {self.wanted('en')}; got {clip(repr(value))}")

    # Comparing

    def parts(self, value: JSON) -> frozenset[JSON]:
        """Return what is compared of a value: nothing for null, each element of a list, text as it reads."""
        if value is None:
            return frozenset()
        items: Sequence[JSON] = value if self.type == "list" else [value]
        return frozenset(fold(item) or item if isinstance(item, str) and not self.labels else item for item in items)

    def agreement(self, first: JSON, second: JSON) -> float:
        """Return the shared share of the parts of two values, 1 where both are null or empty."""
        one, other = self.parts(first), self.parts(second)
        return len(one & other) / len(one | other) if one or other else 1.0


@lru_cache(maxsize=1024)
def _forms(labels: tuple[str, ...]) -> Mapping[str, str]:
    return folded_forms(labels, (), of="a field") if labels else {}
