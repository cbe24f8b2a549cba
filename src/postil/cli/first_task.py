"""A first task of any kind out of what the command line and the gold say."""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postil.errors import DataError, SettingsError
from postil.formats import held_answer, read_records
from postil.project.importing import names_file
from postil.project.settings import parse_task
from postil.tasks import Language, Task
from postil.tasks.kinds import KINDS
from postil.types import JSON

_MOST_INFERRED: Final = 100

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
    kind = wanted.kind
    low, high = _scale(wanted.scale)
    question = wanted.instruction or _QUESTIONS[language][kind].format(low=low, high=high)
    table: dict[str, Any] = {"kind": kind, "name": name, "instruction": question}
    if show is not None and show != "{text}" and kind not in _SHOWS_MORE:
        table["show"] = show
    if kind == "rating":
        table |= {"low": low, "high": high}
    table |= dict(map(_option, wanted.options))
    named = _LABELS.get(kind)
    if named is not None and named not in table and not table.get("questions"):
        table |= {named: _split(wanted.labels)} if wanted.labels else _of_gold(wanted)
    return parse_task(table, "the command line")


def needs_labels(kind: str) -> bool:
    """Return whether a kind has no meaning without a label set."""
    return kind in _LABELS


def shows_one_field(kind: str) -> bool:
    """Return whether a kind asks about one field, which has to be told."""
    return kind not in _SHOWS_MORE


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


# Labels that stand in the gold


def _of_gold(wanted: Wanted) -> dict[str, list[str]]:
    """Return the label sets that stand in the gold, sorted.

    Raises:
        SettingsError: there is no gold, or what is in it is no label set.
    """
    kind, gold = wanted.kind, wanted.gold
    named = _LABELS[kind]
    if gold is None or wanted.items is None:
        raise SettingsError(f"expected --labels a,b ({named}), or --gold FIELD to take them from")
    is_file = names_file(gold)
    found: dict[str, set[str]] = {named: set()}
    for located in read_records(Path(gold) if is_file else wanted.items):
        field = None if is_file else gold
        answer = held_answer(located.record.fields, KINDS[kind].answer_keys, field, structured=kind != "classification")
        if answer:
            _add(found, _IN_GOLD[kind](answer), located.place)
    if not found[named]:
        where = f"the file {gold!r}" if is_file else f"the field {gold!r}, which no record has"
        raise SettingsError(f"expected labels in {where}", hint="check --gold, or give --labels")
    return {parameter: sorted(labels) for parameter, labels in found.items()}


def _add(found: dict[str, set[str]], labels: Iterable[tuple[str, JSON]], place: str) -> None:
    try:
        pairs = list(labels)
    except (AttributeError, KeyError, TypeError):
        raise DataError(f"{place}: expected gold of this kind, got something else", hint="give --labels") from None
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


def _label(answer: Mapping[str, JSON]) -> Found:
    yield "labels", answer["label"]


def _labels(answer: Mapping[str, JSON]) -> Found:
    yield from (("labels", label) for label in answer["labels"])


def _spans(answer: Mapping[str, JSON]) -> Found:
    yield from (("labels", span["label"]) for span in answer["spans"])


def _relations(answer: Mapping[str, JSON]) -> Found:
    yield from (("span_labels", span["label"]) for span in answer.get("spans", ()))
    yield from (("labels", relation["label"]) for relation in answer.get("relations", ()))


def _roles(answer: Mapping[str, JSON]) -> Found:
    yield from (("roles", each["role"]) for frame in answer["frames"] for each in frame["arguments"])


_LABELS: Final[Mapping[str, str]] = {
    "classification": "labels",
    "multilabel": "labels",
    "spans": "labels",
    "relations": "labels",
    "roles": "roles",
}
"""Kinds that need a label set, and the parameter that takes it."""

_IN_GOLD: Final[Mapping[str, Callable[[Mapping[str, JSON]], Found]]] = {
    "classification": _label,
    "multilabel": _labels,
    "spans": _spans,
    "relations": _relations,
    "roles": _roles,
}
