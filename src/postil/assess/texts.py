"""How near a written text comes to gold, and whether its quotes are right (survey 0.13, 2.30).

Each score is of one record, from 0 to 1, and is averaged over records. Where gold holds alternatives, the nearest one
counts. No score needs spaces between words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import numpy as np

from postil.assess.compared import Compared, Counts
from postil.assess.intervals import Array, Measured, Metric, Resampling, bootstrap, share
from postil.errors import Ambiguous, NotFound
from postil.tasks.text import Text, overlap, words_of
from postil.types import JSON, Annotation, Answer, Failure, Outcome

__all__ = ["NEARNESS", "chrf", "compare", "number_in", "quote_metrics", "rouge_l"]

NEARNESS: Final = ("token_f1", "rouge_l", "chrf", "number_match")
"""The scores that say how near a text comes to gold, 0 for one that has nothing of it."""

_ORDERS: Final = 6
"""Character n-grams up to this length: chrF as Popović (2015) proposes it, without words."""
_RECALL: Final = 4
"""Recall counts β² = 4 times as much as precision: chrF2, the usual one."""
_HAN: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ROUGE_TOKEN: Final = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")
_NUMBER: Final = re.compile(r"(?:(?<![\d.,])[-\u2212])?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?")
_NUMBER_ALONE: Final = re.compile(rf"\s*[^\w\s.,-]{{0,3}}\s*({_NUMBER.pattern})\s*[^\w\s]{{0,3}}\s*")
_LONGEST: Final = 1000
"""How much of a text is searched for a number: an answer, not an essay."""


def compare(task: Text, gold: Answer, given: Answer) -> Compared:
    """Return how near a text comes to gold: exact match, F1 of words, ROUGE-L, chrF, and what only some texts have.

    `number_match` is there where gold is a number: whether it is the one number that the text gives. For quotes there
    are counts of those in the same place and of the characters that they share. A text is right if it is gold but for
    case, punctuation and articles, or gives gold's number.
    """
    texts = [gold["text"], *gold.get("alternatives", ())]
    said = given["text"]
    words, wanted = words_of(said), [words_of(text) for text in texts]
    exact = float(words in wanted)
    scores: dict[str, float] = {
        "token_f1": max(overlap(words, each) for each in wanted),
        "exact_match": exact,
        "rouge_l": max(rouge_l(said, text) for text in texts),
        "chrf": max(chrf(said, text) for text in texts),
    }
    numbers = [number for text in texts if (number := _number_alone(text)) is not None]
    if numbers:
        scores["number_match"] = float(number_in(said) in numbers)
    return Compared(
        counts=_quotes(gold, given) if task.grounded else {},
        scores={**scores, **_criteria(task, gold.get("scores", {}), given.get("scores", {}))},
        right=bool(exact or scores.get("number_match")),
    )


def _criteria(task: Text, gold: Mapping[str, JSON], given: Mapping[str, JSON]) -> Mapping[str, float]:
    """Return how near the score for each criterion is to gold's, 1 for equal and 0 for the two ends of the scale."""
    both = [criterion for criterion in task.criteria if criterion in gold and criterion in given]
    return {f"score_{each}": 1 - abs(gold[each] - given[each]) / (task.high - task.low) for each in both}


def _quotes(gold: Answer, given: Answer) -> Mapping[str, Counts]:
    """Return counts of quotes by their places and by their characters; all zero where gold has none to compare."""
    if "quotes" not in gold:
        return {"quotes": Counts(0, 0, 0), "quoted_characters": Counts(0, 0, 0)}
    wanted, found = ({(quote["start"], quote["end"]) for quote in each.get("quotes", ())} for each in (gold, given))
    true, said = ({at for span in spans for at in range(*span)} for spans in (wanted, found))
    return {
        "quotes": Counts(len(wanted & found), len(found), len(wanted)),
        "quoted_characters": Counts(len(true & said), len(said), len(true)),
    }


def rouge_l(said: str, text: str) -> float:
    """Return the F1 of the longest common subsequence of words (Lin 2004); Han characters are words of their own."""
    one, other = (_ROUGE_TOKEN.findall(each.lower()) for each in (said, text))
    if not one or not other:
        return float(one == other)
    return 2 * _common(one, other) / (len(one) + len(other))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of the table in one number (Hyyrö 2004)."""
    where: dict[str, int] = {}
    for i, token in enumerate(one):
        where[token] = where.get(token, 0) | 1 << i
    whole = (1 << len(one)) - 1
    row = whole
    for token in other:
        match = row & where.get(token, 0)
        row = ((row + match) | (row - match)) & whole
    return len(one) - row.bit_count()


def chrf(said: str, text: str) -> float:
    """Return the F-score of character n-grams (chrF2, Popović 2015), as sacrebleu computes it for one sentence.

    White space does not count; orders that one of the texts is too short for are left out.
    """
    one, other = ("".join(each.split()) for each in (said, text))
    orders = [n for n in range(1, _ORDERS + 1) if n <= min(len(one), len(other))]
    if not orders:
        return float(one == other)
    precision = recall = 0.0
    for n in orders:
        mine, theirs = _ngrams(one, n), _ngrams(other, n)
        shared = (mine & theirs).total()
        precision += shared / mine.total()
        recall += shared / theirs.total()
    precision, recall = precision / len(orders), recall / len(orders)
    both = _RECALL * precision + recall
    return (1 + _RECALL) * precision * recall / both if both else 0.0


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def number_in(text: str) -> Decimal | None:
    """Return the one number that a text gives, `None` where it gives none or several: none is guessed."""
    if len(text) > _LONGEST:
        return None
    found = {_decimal(number) for number in _NUMBER.findall(unicodedata.normalize("NFKC", text))}
    return found.pop() if len(found) == 1 else None


def _number_alone(text: str) -> Decimal | None:
    """Return the number that a whole text is, with signs like those of a currency or a share around it."""
    whole = _NUMBER_ALONE.fullmatch(unicodedata.normalize("NFKC", text[:_LONGEST]))
    return None if whole is None else _decimal(whole[1])


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("\u2212", "-"))


def quote_metrics(outcomes: Iterable[Outcome], *, resampling: Resampling) -> Measured:
    """Return the share of quotes that stand in their source: those of annotations, against those dropped or failed.

    A reply that failed since it quoted what is not there, or what stands in several places, counts for one quote
    (reliability A9).
    """
    valid, given = list[int](), list[int]()
    for outcome in outcomes:
        good = bad = 0
        if isinstance(outcome, Annotation):
            good = len(outcome.answer.get("quotes", ()))
            bad = sum(words.startswith("quotes[") for words in outcome.rejected)
        elif isinstance(outcome, Failure):
            bad = int(outcome.failure_class in (NotFound.failure_class, Ambiguous.failure_class))
        if good or bad:
            valid.append(good)
            given.append(good + bad)
    how = "share of the quotes given that stand in their source"
    if not given:
        return Measured()
    if max(given) == 1:
        return Measured({"quote_validity": share(sum(valid), len(given), level=resampling.level, how=how)})
    hits, of = np.array(valid, dtype=np.float64), np.array(given, dtype=np.float64)

    def ratio(weights: Array) -> Array:
        return (weights @ hits) / (weights @ of)

    return bootstrap([Metric("quote_validity", ratio, how, "")], np.ones(len(given)), resampling=resampling)
