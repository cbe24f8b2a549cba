"""Which of two or more candidates is better, asked in both orders (survey 0.04, 1.26).

A judge leans to a place: its verdict on a pair is often about which one stands first. So every pair is asked twice,
the second time with its candidates exchanged, and a verdict that does not survive that is none (reliability M3). What
is kept knows no side: `swapped` turns an answer round, and strength z becomes 1 − z.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from string import ascii_lowercase
from typing import ClassVar, Final, Literal, NamedTuple, Self

from postil.errors import DataError, OutsideLabels, TaskError
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import Choices, choice_form, contract, folded_forms
from postil.tasks.extraction import json_reply
from postil.tasks.language import language_of
from postil.tasks.merging import heaviest
from postil.tasks.rankings import TIE, Pair, Rankings, beaten, in_places, pairs_of, share, weighted_mean
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import reasoned, reasons_contract
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

__all__ = ["FIRST", "SECOND", "Averaged", "Pair", "Preference", "pairs_of", "swapped"]

Averaged = Literal["probabilities", "logits"]
"""How two orders become one strength: by the mean of their probabilities, as in RLAIF (Lee et al. 2023,
arXiv 2309.00267), or of their log-odds, which takes out exactly a leaning that adds to them."""

FIRST: Final = "both orders prefer the candidate shown first"
SECOND: Final = "both orders prefer the candidate shown second"
"""Why there is no answer where the orders disagree and ties are not allowed."""

_FIELDS: Final = ("response_a", "response_b")
_STRENGTHS: Final = {"a": 1.0, "b": 0.0, TIE: 0.5}
_OTHER: Final = {"a": "b", "b": "a", TIE: TIE}
_STEPS: Final = 2**51
"""Steps between strengths 0.5 and 1: on a grid of a power of two, 1 − z and the mean of two strengths are exact."""
_NEARLY_SURE: Final = 1 - 1e-9
_RANKING_TOKENS: Final = 64


class _Words(NamedTuple):
    """What a prompt says around the candidates."""

    cue: str
    tie: str
    candidate: str
    heading: str
    better: str
    equal: str
    criteria: str
    ranking: str


_WORDS: Final[Mapping[Language, _Words]] = {
    "en": _Words(
        cue="Better",
        tie="Tie",
        candidate="Response {}",
        heading="Response {}:\n",
        better="Response {} is better",
        equal="they are equally good",
        criteria="Judge by:",
        ranking='Answer with JSON and nothing else: {"ranking": [["B"], ["A", "C"]]}, the best first, those that are '
        "equally good in one list.",
    ),
    "zh": _Words(
        cue="更好的是",
        tie="平局",
        candidate="回答 {}",
        heading="回答 {}：\n",
        better="回答 {} 更好",
        equal="两者一样好",
        criteria="评判标准：",
        ranking='只回答 JSON，不要写别的：{"ranking": [["B"], ["A", "C"]]}，最好的在前，一样好的放在同一个列表里。',
    ),
}


def swapped(answer: Answer) -> Answer:
    """Return an answer about two candidates as one about the same two exchanged: strength z becomes 1 − z (0.04)."""
    return {"preferred": _OTHER[str(answer["preferred"])], "strength": 1 - answer["strength"]}


@dataclass(frozen=True, init=False)
class Preference:
    """Which of the candidates in a record's fields is better; each pair is asked in both orders.

    Candidates are called "a", "b", … in the order in which their fields are given. Of two, the answer is the preferred
    one or a tie, with the strength of preference for "a". Where the orders disagree the answer is a tie; with
    `ties = false` there is no answer then (an abstention). Of more, every pair is asked, and candidates are ranked by
    the pairs that they win; `preferred` is the one that stands first alone.

    `criteria` are shown with the question. `once` asks one order only, that of the record: half the money, and a
    leaning of the judge goes unseen. With `rationale` a verdict is JSON with the reasons before it.
    """

    kind: ClassVar[str] = "preference"
    answer_keys: ClassVar[tuple[str, ...]] = ("preferred",)
    other_keys: ClassVar[tuple[str, ...]] = ("strength", "label", "ranking", "strengths")
    """What gold may hold beside the answer's key, or in its place."""

    name: str
    instruction: str
    candidates: tuple[str, ...]
    context: str
    criteria: tuple[str, ...]
    ties: bool
    once: bool
    averaged: Averaged
    rationale: bool
    language: Language

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        candidates: Sequence[str] | None = None,
        context: str = "{prompt}",
        criteria: Sequence[str] | None = None,
        ties: bool = True,
        once: bool = False,
        averaged: Averaged = "probabilities",
        rationale: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take the fields of the candidates, and as `context` what is shown before them ("" for nothing).

        Without `candidates` they are "response_a" and "response_b".

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        given = [candidates] if isinstance(candidates, str) else list(_FIELDS if candidates is None else candidates)
        said = [criteria] if isinstance(criteria, str) else list(criteria or ())
        words = {f"candidate {i}": field for i, field in enumerate(given, 1)}
        words |= {f"criterion {i}": criterion for i, criterion in enumerate(said, 1)}
        require_texts(name=name, instruction=instruction, context=context, **words)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "candidates": tuple(given),
            "context": context,
            "criteria": tuple(said),
            "ties": ties,
            "once": once,
            "averaged": averaged,
            "rationale": rationale,
            "language": language or language_of(instruction, "".join(said)),
        }.items():
            object.__setattr__(self, attribute, value)
        self._check()

    def _check(self) -> None:
        """Check what the parts of the definition mean together."""
        given, most = self.candidates, len(ascii_lowercase)
        if not 2 <= len(set(given)) == len(given) <= most:
            raise TaskError(f"task {self.name!r}: `candidates` are 2 to {most} different fields, got {[*given]!r}")
        if self.averaged not in ("probabilities", "logits"):
            raise TaskError(f"task {self.name!r}: `averaged` is 'probabilities' or 'logits', got {self.averaged!r}")
        if len(given) > 2 and not self.ties:
            raise TaskError(f"task {self.name!r}: of {len(given)} candidates some may always share a place: allow ties")
        before = Shown.parse(self.context).fields if self.context.strip() else ()
        if both := [field for field in given if field in before]:
            raise TaskError(f"task {self.name!r}: `context` shows {both[0]!r}, which is a candidate")
        if Shown.parse(self.show).fields != (*before, *given):
            raise TaskError(f"task {self.name!r}: `candidates` are names of fields, got {[*given]!r}")

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.candidates, self.context, self.criteria, self.ties, self.once))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What answers call the candidates: "a", "b", …."""
        return tuple(ascii_lowercase[: len(self.candidates)])

    @property
    def labels(self) -> tuple[str, ...]:
        """Every value of `preferred`."""
        return (*self.names, TIE) if self.ties else self.names

    @property
    def scale(self) -> Scale:
        """Equal or not."""
        return "nominal"

    @property
    def show(self) -> str:
        """What of a record is shown: the context, then each candidate under its letter."""
        return self._show

    @cached_property
    def _show(self) -> str:
        heading = _WORDS[self.language].heading
        named = zip(self.names, self.candidates, strict=True)
        shown = [f"{heading.format(name.upper())}{{{field}}}" for name, field in named]
        return "\n\n".join([self.context, *shown] if self.context.strip() else shown)

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "candidates": [*self.candidates],
            "context": self.context,
            "criteria": [*self.criteria],
            "ties": self.ties,
            "once": self.once,
            "averaged": self.averaged,
            "rationale": self.rationale,
            "language": self.language,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Return the task that a spec describes.

        Raises:
            TaskError: it cannot work.
        """
        return from_spec(cls, spec)

    @cached_property
    def _rankings(self) -> Rankings | None:
        """The answers about more than two candidates; `None` where there are two."""
        return Rankings(self.names, self._sides) if len(self.names) > 2 else None

    @cached_property
    def _sides(self) -> Mapping[str, str]:
        """Every word for a side, folded -> the side: the name of its field, and its letter, which goes first."""
        fields = {fold(field): name for name, field in zip(self.names, self.candidates, strict=True)}
        return fields | {name: name for name in self.names}

    # The parts: pair by pair, order by order

    @property
    def parts(self) -> tuple["Preference", ...]:
        """Each pair, asked in the order of the record and then exchanged."""
        return self._parts

    @cached_property
    def _parts(self) -> tuple["Preference", ...]:
        return tuple(pair for pair in self._pairs for _ in range(self._orders))

    @property
    def _pairs(self) -> Sequence["Preference"]:
        if self._rankings is None:
            return [self]
        return [self.from_spec({**self.spec, "candidates": [*pair]}) for pair in combinations(self.candidates, 2)]

    @property
    def _orders(self) -> int:
        return 1 if self.once else 2

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record, for every second part with the two candidates of its pair exchanged."""
        one, other = self.parts[part].candidates
        if part % self._orders == 0 or not {one, other} <= record.fields.keys():
            return record
        return replace(record, fields={**record.fields, one: record.fields[other], other: record.fields[one]})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return what an answer to the whole says of a pair, in the order that a part shows."""
        if self._rankings is not None:
            strength = answer["strengths"][self._rankings.pairs[part // self._orders]]
            answer = {"preferred": "a" if strength > 0.5 else "b" if strength < 0.5 else TIE, "strength": strength}
        return swapped(answer) if part % self._orders else answer

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the reading of the whole: verdicts that survive the exchange, and the mean strength of both orders."""
        if self.once:
            pairs = list(readings)
        else:
            orders = range(0, len(readings), 2)
            pairs = [self._of_orders(readings[i], _exchanged(readings[i + 1]), self._letters(i // 2)) for i in orders]
        return pairs[0] if self._rankings is None else _ranked(self._rankings, pairs)

    def _letters(self, pair: int) -> str:
        return "ab" if self._rankings is None else self._rankings.pairs[pair]

    def _of_orders(self, one: Reading, two: Reading, letters: str) -> Reading:
        """Return one reading out of those of both orders, which are about the same sides.

        Its parts' confidences are `orders`, the share of the orders that said the same, and `first`, the mean strength
        for the candidate shown first: 0.5 for a judge that leans to no place.
        """
        said, also = _said(one), _said(two)
        rationale = _joined(one.rationale, two.rationale)
        agree = said["preferred"] == also["preferred"]
        if not agree and not self.ties:
            return Reading(None, abstained=FIRST if said["preferred"] == "a" else SECOND, rationale=rationale)
        preferred = said["preferred"] if agree else TIE
        odds = _mean_odds(one, two)
        return Reading(
            {"preferred": preferred, "strength": self._mean(said["strength"], also["strength"], soft=odds is not None)},
            confidence=_mean_confidence(one, two, agree) if odds is None else Confidence(odds[preferred], "logprob"),
            probabilities=odds,
            rationale=rationale,
            part_confidences={
                f"orders/{letters}": ((said["preferred"] == preferred) + (also["preferred"] == preferred)) / 2,
                f"first/{letters}": (said["strength"] + 1 - also["strength"]) / 2,
            },
            rejected=() if agree else (f"orders/{letters}: {said['preferred']!r}, exchanged {also['preferred']!r}",),
        )

    def _mean(self, one: float, two: float, *, soft: bool) -> float:
        """Return the mean of two strengths; only such as were not certain have log-odds."""
        if self.averaged == "logits" and soft:
            return _on_grid(math.tanh((_log_odds(one) + _log_odds(two)) / 4))
        return (one + two) / 2

    # One question: a pair in the order in which it is shown, or all candidates together, for people and other tools

    @cached_property
    def _choices(self) -> Choices:
        words = _WORDS[self.language]
        names = [name.upper() for name in self.names]
        options = [*names, words.tie] if self.ties else names
        forms = folded_forms(
            options, [(words.candidate.format(name), name) for name in names], of=f"task {self.name!r}"
        )
        return Choices(tuple(options), forms, "preferred", words.cue)

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the verdict is to be written for an engine with these capabilities."""
        if self._rankings is not None:
            schema = self._rankings.schema if capabilities.schema else None
            return AnswerForm("json", _RANKING_TOKENS + 16 * len(self.names), schema=schema, layout="pair")
        form = choice_form(self._choices.names, capabilities, key="preferred", rationale=self.rationale)
        return replace(form, layout="pair")

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        words = _WORDS[self.language]
        criteria = [words.criteria, *(f"- {criterion}" for criterion in self.criteria)] if self.criteria else []
        instruction = "\n".join([self.instruction, *criteria])
        if self._rankings is not None:
            return Ask(instruction, (), words.ranking, words.cue)
        options = [Option(name.upper(), words.better.format(name.upper())) for name in self.names]
        if self.ties:
            options.append(Option(words.tie, words.equal))
        if form.style == "code":
            options = [replace(option, code=code) for option, code in zip(options, form.choices, strict=True)]
        how = contract(form, self.language, "preferred")
        if form.style == "json":
            how += reasons_contract(self.language, rationale=self.rationale, evidence=False)
        return Ask(instruction, tuple(options), how, words.cue)

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return a verdict as the model should write it."""
        if self._rankings is not None:
            return self._rankings.write(answer)
        at = self.labels.index(str(answer["preferred"]))
        if form.style == "code":
            return form.choices[at]
        word = self._choices.names[at]
        return json.dumps({"preferred": word}, ensure_ascii=False) if form.style == "json" else word

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the verdict in a complete reply, about the sides as they were shown.

        Raises:
            AnswerError: the reply holds no verdict, or several.
        """
        if self._rankings is not None:
            return self._read_ranking(completion)
        chosen = self._choices.read(completion, form, prior)
        preferred = self.labels[self._choices.names.index(chosen.name)]
        reading = Reading({"preferred": preferred, "strength": _STRENGTHS[preferred]}, rationale=chosen.rationale)
        if chosen.probabilities is not None:
            reading = self._weighed(reading, preferred, [*chosen.probabilities.values()])
        if self.rationale:
            return reasoned(reading, completion, form, record, show=self.show, key="preferred")
        return reading

    def _weighed(self, reading: Reading, preferred: str, probabilities: Sequence[float]) -> Reading:
        odds = dict(zip(self.labels, probabilities, strict=True))
        return replace(
            reading,
            answer={"preferred": preferred, "strength": _on_side(_on_grid(odds["a"] - odds["b"]), preferred)},
            confidence=Confidence(odds[preferred], "logprob"),
            probabilities=odds,
        )

    def _read_ranking(self, completion: Completion) -> Reading:
        reply = json_reply(completion, 'JSON like {"ranking": [["B"], ["A", "C"]]}', cue=_WORDS[self.language].cue)
        try:
            return Reading(self.accept(reply.fields), rationale=reply.rationale)
        except DataError as error:
            raise OutsideLabels(str(error.args[0])) from None

    # Answers from outside

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return an answer from outside in its canonical form.

        Of two candidates: `preferred`, or `label` as gold files have it, is "a", "b", "tie" or the field that holds
        the better one; without `strength` the preference is sure. Of more: `ranking`, the best first, those that share
        a place in one list; with the `strengths` of the pairs where they are known.

        Raises:
            DataError: it is no answer to this task.
        """
        if self._rankings is not None:
            return self._rankings.accept(answer)
        said = answer.get("preferred", answer.get("label"))
        word = fold(said) if isinstance(said, str) else ""
        preferred = self._sides.get(word, word)
        if preferred not in self.labels:
            raise DataError(f"expected one of {', '.join(map(repr, self.labels))}, got {clip(repr(said))}")
        given = answer.get("strength")
        strength = _STRENGTHS[preferred] if given is None else share(given)
        if strength != _on_side(strength, preferred):
            raise DataError(f"expected a strength of preference for 'a' that fits {preferred!r}, got {strength!r}")
        return {"preferred": preferred, "strength": strength}

    # Comparing and merging

    def value(self, answer: Answer) -> str:
        """Return which candidate is preferred, or "tie"."""
        return str(answer["preferred"])

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return 1 less the distance of the strengths; over more than two candidates the mean over their pairs."""
        if self._rankings is not None:
            return self._rankings.agreement(first, second)
        return 1 - abs(first["strength"] - second["strength"])

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the preference with the largest weight and the mean strength, `None` on a tie between preferences.

        Rankings are merged by the mean number of candidates beaten; in them candidates may share places.
        """
        weights = [weight for _, weight in answers]
        if not math.fsum(weights) > 0:
            return None
        if self._rankings is not None:
            return self._rankings.merge([answer for answer, _ in answers], weights)
        preferred = heaviest((self.value(answer), weight) for answer, weight in answers)
        if preferred is None:
            return None
        strength = weighted_mean([answer["strength"] for answer, _ in answers], weights)
        return {"preferred": preferred, "strength": _on_side(strength, preferred)}

    def describe(self, answer: Answer) -> str:
        """Return the preferred candidate, with its strength where that is not sure, or the ranking."""
        if self._rankings is not None:
            return self._rankings.describe(answer)
        preferred, strength = self.value(answer), float(answer["strength"])
        return preferred if strength == _STRENGTHS[preferred] else f"{preferred} ({strength:.2f} for a)"


def _said(reading: Reading) -> Answer:
    """Return the answer of a pair's reading; a tie where the orders disagreed and no tie was allowed."""
    return reading.answer if reading.answer is not None else {"preferred": TIE, "strength": 0.5}


def _exchanged(reading: Reading) -> Reading:
    """Return what was read about exchanged candidates as about the record's own order."""
    odds = reading.probabilities
    turned = None if odds is None else {side: odds[_OTHER[side]] for side in odds}
    return replace(reading, answer=swapped(_said(reading)), probabilities=turned)


def _ranked(rankings: Rankings, pairs: Sequence[Reading]) -> Reading:
    """Return the ranking that readings of all pairs come to: a pair won is worth a point, a tie half of one."""
    said = dict(zip(rankings.pairs, map(_said, pairs), strict=True))
    points = beaten(Pair(one, other, _STRENGTHS[said[one + other]["preferred"]]) for one, other in said)
    return Reading(
        rankings.answer(in_places(points), {letters: answer["strength"] for letters, answer in said.items()}),
        rationale=_joined(*(each.rationale for each in pairs)),
        part_confidences={key: p for each in pairs for key, p in (each.part_confidences or {}).items()} or None,
        rejected=tuple(words for each in pairs for words in each.rejected),
    )


def _mean_odds(one: Reading, two: Reading) -> Mapping[str, float] | None:
    if one.probabilities is None or two.probabilities is None:
        return None
    return {side: (p + two.probabilities[side]) / 2 for side, p in one.probabilities.items()}


def _mean_confidence(one: Reading, two: Reading, agree: bool) -> Confidence | None:
    """Return how sure both orders were of their one verdict; of a tie that we made of two nobody was sure."""
    if one.confidence is None or two.confidence is None or not agree:
        return None
    return replace(one.confidence, value=(one.confidence.value + two.confidence.value) / 2)


def _on_grid(difference: float) -> float:
    """Return the strength at a difference of two probabilities, from −1 to 1; for exchanged ones exactly 1 − z."""
    return (1 + round(difference * _STEPS) / _STEPS) / 2


def _on_side(strength: float, preferred: str) -> float:
    """Return a strength that does not speak against the preference: a drawn reply need not be the likeliest."""
    return max(strength, 0.5) if preferred == "a" else min(strength, 0.5) if preferred == "b" else strength


def _log_odds(strength: float) -> float:
    within = min(max(strength, 1 - _NEARLY_SURE), _NEARLY_SURE)
    return math.log(within) - math.log(1 - within)


def _joined(*rationales: str) -> str:
    return "\n\n".join(dict.fromkeys(words for words in rationales if words))
