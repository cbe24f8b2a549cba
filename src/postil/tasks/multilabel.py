"""Any number of labels for a record: flat or hierarchical label sets (survey 0.01)."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self, cast

from postil.canonical import canonical_json
from postil.errors import DataError, Inconsistent, OutsideLabels, TaskError, Unreadable
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import defined_labels, folded_forms
from postil.tasks.classification import Classification
from postil.tasks.extraction import json_reply, part_confidences, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_CUE: Final[Mapping[Language, str]] = {"en": "Labels", "zh": "标签"}
_LIKE: Final[Mapping[Language, str]] = {
    "en": 'Answer with JSON and nothing else, like {"labels": ["…", "…"]}:',
    "zh": '只回答 JSON，不要写别的，例如 {"labels": ["…", "…"]}：',
}
_MANY: Final[Mapping[Language, tuple[str, str, str]]] = {
    "en": ("all that apply, [] if none does.", "all that apply, at least one.", "all that apply, at least {}."),
    "zh": ("列出所有适用的，都不适用就写 []。", "列出所有适用的，至少一个。", "列出所有适用的，至少 {} 个。"),
}
_EACH: Final[Mapping[Language, str]] = {
    "en": "{instruction}\nDoes this label apply: {label}?",
    "zh": "{instruction}\n这个标签是否适用：{label}？",
}
_DEFINED: Final[Mapping[Language, str]] = {"en": "{} ({})", "zh": "{}（{}）"}
_YES_NO: Final[Mapping[Language, tuple[str, str]]] = {"en": ("yes", "no"), "zh": ("是", "否")}

_JSON_TOKENS: Final = 32
_AROUND: Final = 4
"""Tokens around a label in a list: quotation marks, comma, space."""
_ROOM: Final = 12
"""Labels that a reply has room for at first; one cut short is asked for again with twice the room."""


@dataclass(frozen=True, init=False)
class MultiLabel:
    """All labels of a set that apply, at least `at_least`.

    One request asks for the list. With `each` one request a label asks whether it applies: where the engine scores
    choices every label then has a probability, and those of at least `threshold` are the answer, the most probable
    ones where those are fewer than `at_least`. With a `separator` a label is a path, like "animal/dog", and answers
    agree in the steps that they share. With `rationale` or `evidence` the reply gives reasons before the list.
    """

    kind: ClassVar[str] = "multilabel"
    answer_keys: ClassVar[tuple[str, ...]] = ("labels",)
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    show: str
    aliases: Mapping[str, str]
    separator: str | None
    at_least: int
    each: bool
    threshold: float
    rationale: bool
    evidence: bool
    language: Language

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Return a task that asks about each label, where that is wanted: a compound task, as the others are not."""
        return cast("Self", object.__new__(_AskedEach)) if options.get("each") is True else object.__new__(cls)

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        labels: Sequence[str] | Mapping[str, str],
        show: str = "{text}",
        aliases: Mapping[str, str] | None = None,
        separator: str | None = None,
        at_least: int = 0,
        each: bool = False,
        threshold: float = 0.5,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take labels as names, or as names with definitions; aliases map another word to a label.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        words = {f"alias {alias}": label for alias, label in (aliases or {}).items()}
        require_texts(name=name, instruction=instruction, show=show, **words)
        defined = defined_labels(name, labels)
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(Option(label, definition) for label, definition in defined.items()),
            "show": show,
            "aliases": dict(aliases or {}),
            "separator": separator or None,
            "at_least": at_least,
            "each": each,
            "threshold": threshold,
            "rationale": rationale,
            "evidence": evidence,
            "language": language or language_of(instruction, "".join(defined)),
        }.items():
            object.__setattr__(self, attribute, value)
        self._check()

    def _check(self) -> None:
        """Check what the parts of the definition mean together."""
        if type(self.at_least) is not int or not 0 <= self.at_least <= len(self.labels):
            raise TaskError(
                f"task {self.name!r}: `at_least` is from 0 to the {len(self.labels)} labels, got {self.at_least!r}"
            )
        if not 0 < self.threshold < 1:
            raise TaskError(f"task {self.name!r}: `threshold` is a probability between 0 and 1, got {self.threshold!r}")
        if self.threshold != 0.5 and not self.each:
            raise TaskError(f"task {self.name!r}: a `threshold` needs the probabilities of every label: each = true")
        if self.each and (self.rationale or self.evidence):
            raise TaskError(f"task {self.name!r}: reasons are given for a whole answer: `each` has none")
        if unknown := set(self._forms.values()) - self._at.keys():
            raise TaskError(f"task {self.name!r}: an alias stands for {min(unknown)!r}, which is no label")

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.show, self.separator, self.at_least, self.each))

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, in the user's order."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options)

    @cached_property
    def _at(self) -> Mapping[str, int]:
        return {label: at for at, label in enumerate(self._labels)}

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return folded_forms(self.labels, self.aliases.items(), of=f"task {self.name!r}")

    @property
    def scale(self) -> Scale:
        """Label by label."""
        return "set"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; labels stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **names_and_meanings("labels", self.options),
            "show": self.show,
            "aliases": dict(self.aliases),
            "separator": self.separator,
            "at_least": self.at_least,
            "each": self.each,
            "threshold": self.threshold,
            "rationale": self.rationale,
            "evidence": self.evidence,
            "language": self.language,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Return the task that a spec describes.

        Raises:
            TaskError: it cannot work.
        """
        return from_spec(cls, spec)

    def narrowed(self, labels: Collection[str]) -> "MultiLabel":
        """Return the task with these labels alone, in its own order: the same answers, fewer options in a prompt.

        Raises:
            TaskError: fewer than two of them are labels, or fewer than `at_least`.
        """
        return MultiLabel(
            self.name,
            self.instruction,
            labels={option.name: option.definition for option in self.options if option.name in labels},
            show=self.show,
            aliases={alias: label for alias, label in self.aliases.items() if label in labels},
            separator=self.separator,
            at_least=self.at_least,
            rationale=self.rationale,
            evidence=self.evidence,
            language=self.language,
        )

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the labels are to be written for an engine with these capabilities."""
        sizes = sorted((len(label.encode("utf-8", "replace")) + _AROUND for label in self.labels), reverse=True)
        reasons = reason_tokens(rationale=self.rationale, evidence=self.evidence)
        return AnswerForm(
            "json",
            _JSON_TOKENS + sum(sizes[: max(_ROOM, self.at_least)]) + reasons,
            schema=self._schema if capabilities.schema else None,
            token_probabilities=capabilities.token_probabilities,
            reasons="inside" if self.rationale else "none",
        )

    @cached_property
    def _schema(self) -> Mapping[str, JSON]:
        # Without limits on the list's length: strict servers refuse such keywords, and `read` checks it anyway.
        listed = {"type": "array", "items": {"type": "string", "enum": list(self.labels)}}
        schema = {
            "type": "object",
            "properties": {"labels": listed},
            "required": ["labels"],
            "additionalProperties": False,
        }
        return with_reasons(schema, rationale=self.rationale, evidence=self.evidence)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        many = _MANY[self.language][min(self.at_least, 2)].format(self.at_least)
        space = " " if self.language == "en" else ""
        reasons = reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        contract = f"{_LIKE[self.language]}{space}{many}{reasons}"
        return Ask(self.instruction, self.options, contract, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return labels as the model should write them."""
        return json.dumps({"labels": list(answer["labels"])}, ensure_ascii=False)

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the labels in a complete reply.

        Raises:
            AnswerError: the reply is no list of labels of the set, or too short a one.
        """
        reply = json_reply(completion, 'JSON like {"labels": ["…"]}', cue=_CUE[self.language])
        given = self._given(reply.fields.get("labels"))
        answer = self._answer(given)
        if len(answer["labels"]) < self.at_least:
            raise Inconsistent(f"expected at least {self.at_least} labels, got {len(answer['labels'])}")
        sure = part_confidences(completion, "labels") if form.token_probabilities else None
        parts = dict(reversed([*zip(given, sure, strict=True)])) if sure else {}
        reasons = reasons_of(reply.fields, record, self.show)
        return Reading(
            answer,
            confidence=whole_confidence(completion, ["labels"]) if form.token_probabilities else None,
            rationale=reasons.rationale or reply.rationale,
            part_confidences={f"labels/{at}": parts[label] for at, label in enumerate(answer["labels"]) if parts}
            or None,
            evidence=reasons.evidence,
            rejected=reasons.rejected,
        )

    def _given(self, value: JSON) -> list[str]:
        """Return the labels that a list in a reply names, in its order.

        Raises:
            AnswerError: it is no list of words, or a word is no label.
        """
        if not isinstance(value, list):
            raise Unreadable(f'expected a list of labels under "labels", got {clip(repr(value))}')
        found = [self._label(word) for word in value]
        unknown = [word for word, label in zip(value, found, strict=True) if label is None]
        if unknown:
            expected = clip(", ".join(self.labels))
            raise OutsideLabels(f"expected only labels of {expected}; got {clip(', '.join(map(repr, unknown)))}")
        return [label for label in found if label is not None]

    def _label(self, word: JSON) -> str | None:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            return None
        return self._forms.get(fold(str(word)))

    def _answer(self, labels: Sequence[str]) -> Answer:
        return {"labels": sorted(set(labels), key=self._at.__getitem__)}

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return labels from outside, each once and in the task's order; aliases and folded forms are labels too.

        Raises:
            DataError: it is no list of labels of the set, or there are too few.
        """
        value = answer.get("labels")
        if not isinstance(value, (list, tuple)):
            raise DataError(f"expected a list of labels, got {clip(repr(value))}")
        words = cast("Sequence[JSON]", value)
        found = [self._label(word) for word in words]
        if None in found:
            expected = clip(", ".join(map(repr, self.labels)))
            raise DataError(f"expected labels of {expected}, got {clip(repr(words[found.index(None)]))}")
        accepted = self._answer([label for label in found if label is not None])
        if len(accepted["labels"]) < self.at_least:
            raise DataError(f"expected at least {self.at_least} labels, got {clip(repr(value))}")
        return accepted

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the shared share of all labels given (Jaccard 1912), of the steps of paths in a hierarchy."""
        one, other = self.steps(first), self.steps(second)
        return len(one & other) / len(one | other) if one or other else 1.0

    def steps(self, answer: Answer) -> frozenset[str]:
        """Return the labels; in a hierarchy every beginning of their paths, "animal" for "animal/dog" too."""
        labels: Sequence[str] = answer["labels"]
        if self.separator is None:
            return frozenset(labels)
        paths = [label.split(self.separator) for label in labels]
        return frozenset(self.separator.join(path[:depth]) for path in paths for depth in range(1, len(path) + 1))

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the labels with more than half of the weight; `None` where one has just half, or too few are left."""
        total = math.fsum(weight for _, weight in answers)
        if not total > 0:
            return None
        shares = {
            label: math.fsum(weight for answer, weight in answers if label in answer["labels"]) / total
            for label in {label for answer, _ in answers for label in answer["labels"]}
        }
        if any(math.isclose(share, 0.5, rel_tol=1e-9) for share in shares.values()):
            return None
        kept = [label for label, share in shares.items() if share > 0.5]
        return self._answer(kept) if len(kept) >= self.at_least else None

    def describe(self, answer: Answer) -> str:
        """Return the labels, separated by commas; a dash for none."""
        return ", ".join(answer["labels"]) or "–"


class _AskedEach(MultiLabel):
    """One request a label: does it apply? A `CompoundTask`."""

    @cached_property
    def parts(self) -> tuple[Classification, ...]:
        """A question for each label, in the order of the labels."""
        return tuple(self._part(at, option) for at, option in enumerate(self.options))

    def _part(self, at: int, option: Option) -> Classification:
        label = _DEFINED[self.language].format(option.name, option.definition) if option.definition else option.name
        question = _EACH[self.language].format(instruction=self.instruction, label=label)
        labels = _YES_NO[self.language]
        return Classification(f"{self.name}/{at}", question, labels=labels, show=self.show, language=self.language)

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record: labels are asked about one by one, whatever the others are."""
        return record

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return whether a label is in the answer."""
        yes, no = _YES_NO[self.language]
        return {"label": yes if self.labels[part] in answer["labels"] else no}

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the labels that apply.

        Raises:
            Inconsistent: fewer than `at_least` do, and nothing says which others would first.
        """
        yes = _YES_NO[self.language][0]
        odds = [each.probabilities[yes] for each in readings if each.probabilities is not None]
        if len(odds) < len(readings):
            applies = [each.answer is not None and each.answer["label"] == yes for each in readings]
            return Reading(self._enough(self._chosen(applies)))
        applies = self._filled([p >= self.threshold for p in odds], odds)
        answer = self._enough(self._chosen(applies))
        # Each label is asked about alone, so their probabilities are multiplied.
        whole = math.prod(p if chosen else 1 - p for p, chosen in zip(odds, applies, strict=True))
        return Reading(
            answer,
            confidence=Confidence(whole, "logprob"),
            probabilities=dict(zip(self.labels, odds, strict=True)),
            part_confidences={f"labels/{at}": odds[self._at[label]] for at, label in enumerate(answer["labels"])},
        )

    def _chosen(self, applies: Sequence[bool]) -> Answer:
        return self._answer([label for label, chosen in zip(self.labels, applies, strict=True) if chosen])

    def _enough(self, answer: Answer) -> Answer:
        if len(answer["labels"]) < self.at_least:
            raise Inconsistent(f"expected at least {self.at_least} labels that apply, got {len(answer['labels'])}")
        return answer

    def _filled(self, applies: Sequence[bool], odds: Sequence[float]) -> Sequence[bool]:
        """Return the labels that apply, filled up to `at_least` by the most probable others unless they tie."""
        if sum(applies) >= self.at_least:
            return applies
        ranked = sorted(odds, reverse=True)
        last = ranked[self.at_least - 1]
        tied = self.at_least < len(ranked) and ranked[self.at_least] == last
        return applies if tied else [p >= last for p in odds]
