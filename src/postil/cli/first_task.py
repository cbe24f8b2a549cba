"""A first task of any kind out of what the command line and the gold say."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postil.cli.gold_fields import GoldFields
from postil.errors import DataError, SettingsError
from postil.formats import Located, held_answer, read_records
from postil.project.importing import names_file
from postil.project.settings import parse_task
from postil.tasks import Language, Task
from postil.tasks.kinds import KINDS
from postil.types import JSON, Answer, Record

_MOST_INFERRED: Final = 100
_MOST_SHOWN: Final = 200

_QUESTIONS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "classification": "Which label fits the text?",
        "multilabel": "Which labels fit the text?",
        "attributes": "What does the text say about these fields?",
        "rating": "Rate the text from {low} to {high}.",
        "preference": "Which response is better?",
        "relations": "Which relations does the text state?",
        "roles": "Who does what to whom in the text?",
        "timeline": "Which events does the text tell of, and in which order?",
        "spans": "Which parts of the text are these?",
        "text": "Answer in a few words.",
        "relations of pairs": "Which relation does the head have to the tail?",
        "timeline of pairs": "How does the first event lie in time to the second?",
    },
    "zh": {
        "classification": "这段文本属于哪个标签？",
        "multilabel": "这段文本有哪些标签？",
        "attributes": "文本中这些字段分别是什么？",
        "rating": "请给这段文本打分，从 {low} 到 {high}。",
        "preference": "哪个回答更好？",
        "relations": "文本陈述了哪些关系？",
        "roles": "文本中谁对谁做了什么？",
        "timeline": "文本讲述了哪些事件，先后顺序如何？",
        "spans": "文本中哪些片段属于这些类别？",
        "text": "请用几个词回答。",
        "relations of pairs": "头与尾之间是什么关系？",
        "timeline of pairs": "第一个事件与第二个事件在时间上是什么关系？",
    },
}
"""What is asked where the user does not say, in the language of the first record."""

_SHOWS_MORE: Final = frozenset({"preference"})
"""Kinds that show more of a record than one field, and say which by themselves."""

Found = Iterator[tuple[str, JSON]]
"""Parameters of a kind with one of their labels each."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line said; `None` where it said nothing."""

    items: Path | None
    kind: str
    labels: str | None
    text: str | None
    gold: str | None
    instruction: str | None
    id_field: str | None
    scale: str
    engine: str
    base_url: str | None
    model: str | None
    api_key_env: str | None
    shots: int | None
    options: tuple[str, ...] = ()
    """More parameters of the kind, as KEY=VALUE."""


def first_task(wanted: Wanted, *, name: str, show: str | None, language: Language) -> Task:
    """Return a task of the kind wanted; its labels are those said, else those of the gold.

    `language` is that of the data: what the user did not say is said in it.

    Raises:
        SettingsError: something is missing, unknown or wrong.
        DataError: the gold holds no labels of this kind.
    """
    kind, options = wanted.kind, dict(map(_option, wanted.options))
    low, high = _scale(wanted.scale)
    asked = f"{kind} of pairs" if options.get("mode") == "pair" or "pair" in options else kind
    question = wanted.instruction or _QUESTIONS[language].get(asked, _QUESTIONS[language][kind])
    table: dict[str, Any] = {"kind": kind, "name": name, "instruction": question.format(low=low, high=high)}
    if show is not None and show != "{text}" and kind not in _SHOWS_MORE:
        table["show"] = show
    if kind == "rating":
        table |= {"low": low, "high": high}
    table |= options
    if wanted.labels and kind not in _LABELS:
        raise SettingsError(f"a task of the kind {kind!r} has no --labels", hint=_INSTEAD.get(kind, ""))
    if kind == "attributes" and "fields" not in table:
        table["fields"] = _fields_of_gold(wanted)
    named = _LABELS.get(kind)
    if named is not None and named not in table and not table.get("questions"):
        table |= {named: _split(wanted.labels)} if wanted.labels else _of_gold(wanted)
    return parse_task(table, "the command line")


def needs_labels(kind: str) -> bool:
    """Return whether a kind has no meaning without a label set."""
    return kind in _LABELS


def shows_one_field(wanted: Wanted) -> bool:
    """Return whether a task shows one field that has to be told: not where the kind, or `show`, says what is shown."""
    return wanted.kind not in _SHOWS_MORE and "show" not in dict(map(_option, wanted.options))


def _split(labels: str) -> list[str]:
    return [label.strip() for label in labels.split(",")]


def _option(text: str) -> tuple[str, JSON]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"--option must be KEY=VALUE, got {text!r}", hint="--option nested=true")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _scale(text: str) -> tuple[int, int]:
    low, _, high = text.replace("..", "-").rpartition("-")
    # The dash between the two, not one before a number: "-4--1" is from -4 to -1.
    if low.endswith("-"):
        low, high = low[:-1], f"-{high}"
    try:
        return int(low), int(high)
    except ValueError:
        raise SettingsError(f"--scale must be two whole numbers like 1-5, got {text!r}") from None


# What stands in the gold


def _of_gold(wanted: Wanted) -> dict[str, list[str]]:
    """Return the label sets that stand in the gold, sorted.

    Raises:
        SettingsError: there is no gold, or what is in it is no label set.
        DataError: it is no gold of the kind.
    """
    named = _LABELS[wanted.kind]
    if wanted.gold is None or wanted.items is None:
        raise SettingsError("expected --labels a,b, or --gold FIELD to take them from")
    found: dict[str, set[str]] = {named: set()}
    for located, answer in _gold(wanted, wanted.gold):
        _add(found, _IN_GOLD[wanted.kind], answer, located.place)
    if not found[named]:
        where = f"the file {wanted.gold!r}" if names_file(wanted.gold) else f"the gold field {wanted.gold!r}"
        raise SettingsError(f"expected labels in {where}, which holds none", hint="check --gold, or give --labels")
    return {parameter: sorted(labels) for parameter, labels in found.items()}


def _fields_of_gold(wanted: Wanted) -> dict[str, JSON]:
    """Return the fields of a task that the gold answers, as they seem to be.

    Raises:
        SettingsError: there is no gold.
        DataError: it is no gold of the kind.
    """
    if wanted.gold is None or wanted.items is None:
        raise SettingsError("expected the fields, or --gold FIELD to take them from", hint=_INSTEAD["attributes"])
    found = GoldFields()
    texts = _texts(wanted.items, wanted.id_field) if names_file(wanted.gold) else {}
    for located, answer in _gold(wanted, wanted.gold):
        own = texts.get(located.record.id, _texts_of(located.record))
        found.add(answer.get("attributes"), own, located.place)
    if not (fields := found.fields()):
        raise SettingsError(f"expected fields in the gold {wanted.gold!r}, which holds none", hint="check --gold")
    return fields


def _gold(wanted: Wanted, gold: str) -> Iterator[tuple[Located, Answer]]:
    """Yield each gold answer as it stands in its field or file, with its place.

    Raises:
        SettingsError: no record has the field.
    """
    field = None if names_file(gold) else gold
    keys = KINDS[wanted.kind].answer_keys
    there = field is None
    for located in read_records(Path(gold) if field is None else wanted.items or Path()):
        there = there or field in located.record.fields
        if answer := held_answer(located.record.fields, keys, field, structured=wanted.kind != "classification"):
            yield located, answer
    if not there:
        raise SettingsError(
            f"expected gold in the field {gold!r}, which no record has",
            hint="check --gold: a field of the items, or a file of its own",
        )


def _texts(items: Path, id_field: str | None) -> Mapping[str, Sequence[str]]:
    return {each.record.id: _texts_of(each.record) for each in read_records(items, id_field=id_field)}


def _texts_of(record: Record) -> Sequence[str]:
    return [value for value in record.fields.values() if isinstance(value, str)]


def _add(found: dict[str, set[str]], labels_of: Callable[[Answer], Found], answer: Answer, place: str) -> None:
    try:
        pairs = list(labels_of(answer))
    except (AttributeError, KeyError, TypeError):
        like = _GOLD_LIKE[labels_of]
        raise DataError(
            f"{place}: expected gold like {like}, got {_clipped(answer)}",
            hint="in a table it stands in its cell, as JSON" if isinstance(_only(answer), str) else "",
        ) from None
    for parameter, label in pairs:
        if not isinstance(label, (str, int)) or isinstance(label, bool):
            raise DataError(
                f"{place}: expected a label as text, got {label!r}",
                hint="numbers are gold of a rating: --kind rating --scale LOW-HIGH",
            )
        known = found.setdefault(parameter, set())
        known.add(str(label))
        if len(known) > _MOST_INFERRED:
            raise SettingsError(f"the gold has more than {_MOST_INFERRED} values", hint="give --labels")


def _only(answer: Answer) -> JSON:
    """Return what a field holds whose value is the answer's first key, else the whole answer."""
    return next(iter(answer.values())) if len(answer) == 1 else answer


def _clipped(answer: Answer) -> str:
    text = json.dumps(_only(answer), ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _label(answer: Answer) -> Found:
    yield "labels", answer["label"]


def _labels(answer: Answer) -> Found:
    if not isinstance(answer["labels"], list):  # the letters of a text would do, and are no labels
        raise TypeError
    yield from (("labels", label) for label in answer["labels"])


def _spans(answer: Answer) -> Found:
    yield from (("labels", span["label"]) for span in answer["spans"])


def _relations(answer: Answer) -> Found:
    yield from (("span_labels", span["label"]) for span in answer.get("spans", ()))
    yield from (("labels", relation["label"]) for relation in answer["relations"])


def _roles(answer: Answer) -> Found:
    yield from (("roles", each["role"]) for frame in answer["frames"] for each in frame["arguments"])


_LABELS: Final[Mapping[str, str]] = {
    "classification": "labels",
    "multilabel": "labels",
    "spans": "labels",
    "relations": "labels",
    "roles": "roles",
}
"""Kinds that need a label set, and the parameter that takes it."""

_INSTEAD: Final[Mapping[str, str]] = {
    "attributes": """--option 'fields={food={type="label", labels=["good", "bad"]}, dish={type="text"}}'""",
    "rating": "--scale 1-5 says what may be answered",
    "timeline": """--option 'relations=["before", "after"]' says which there are""",
}
"""What kinds have that take no label set."""

_IN_GOLD: Final[Mapping[str, Callable[[Answer], Found]]] = {
    "classification": _label,
    "multilabel": _labels,
    "spans": _spans,
    "relations": _relations,
    "roles": _roles,
}

_GOLD_LIKE: Final[Mapping[Callable[[Answer], Found], str]] = {
    _label: '"positive"',
    _labels: '["joy", "surprise"]',
    _spans: '[{"start": 0, "end": 5, "label": "person"}]',
    _relations: '{"spans": [{"id": "T1", "start": 0, "end": 5, "label": "person"}, …], '
    '"relations": [{"head": "T1", "tail": "T2", "label": "works_for"}]}',
    _roles: '[{"predicate": {"start": 4, "end": 8}, "arguments": [{"start": 0, "end": 3, "role": "ARG0"}]}]',
}
"""What gold of a kind looks like in a field."""
