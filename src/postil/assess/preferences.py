"""Metrics of preferences beside those of labels: does a verdict survive the exchange, and is the strength right?

A judge that prefers a place and not a candidate looks consistent in one order and is found out in two (reliability M3,
survey 1.26). What is measured about the exchange needs no gold.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from postil.assess.intervals import Array, Measured, Metric, Resampling, Statistic, bootstrap, share
from postil.tasks.preference import FIRST, SECOND
from postil.types import Abstention, Annotation, Answer, Outcome

__all__ = ["preference_metrics", "strength_metrics", "swap_metrics"]

_HARD = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""What verdicts without probabilities come to. Their replicates are smoothed, those of finer values are not."""


def preference_metrics(
    outcomes: Mapping[str, Outcome], gold: Mapping[str, Answer], *, resampling: Resampling
) -> Measured:
    """Return what only preferences have: how they fare under the exchange, and how near their strengths are to gold."""
    given = {record: one.answer for record, one in outcomes.items() if isinstance(one, Annotation)}
    both = sorted(given.keys() & gold.keys())
    measured = swap_metrics((outcomes[record] for record in sorted(outcomes)), resampling=resampling)
    if not both:
        return measured
    return measured + strength_metrics(
        [gold[record] for record in both], [given[record] for record in both], resampling=resampling
    )


def swap_metrics(outcomes: Iterable[Outcome], *, resampling: Resampling) -> Measured:
    """Return the share of pairs judged alike in both orders, and how far the judge leans to the one shown first.

    `position_bias` runs from −1, always the one shown second, to 1, always the first; a judge that follows its place
    in three of ten cases and the candidates in the others has 0.3. Records asked in one order only are left out.
    """
    asked = [pairs for outcome in outcomes if (pairs := _asked_twice(outcome))]
    if not asked:
        return Measured()
    alike, pairs, leaning = (
        np.array([sum(column) for column in columns], dtype=np.float64)
        for columns in (
            [[orders == 1 for orders, _ in each] for each in asked],
            [[1 for _ in each] for each in asked],
            [[2 * first - 1 for _, first in each] for each in asked],
        )
    )
    how = "share of the pairs judged alike in both orders"
    if (pairs == 1).all():
        level = resampling.level
        consistency = Measured({"consistency_under_swap": share(int(alike.sum()), len(asked), level=level, how=how)})
    else:
        metric = Metric("consistency_under_swap", _ratio(alike, pairs), how, "")
        consistency = bootstrap([metric], np.ones(len(asked)), resampling=resampling)
    leans = "mean leaning to the candidate shown first, from -1 to 1"
    return consistency + _mean("position_bias", leans, leaning / pairs, (-1.0, 1.0), resampling)


def strength_metrics(gold: Sequence[Answer], given: Sequence[Answer], *, resampling: Resampling) -> Measured:
    """Return how often the strength is on gold's side, and its mean squared distance from gold's strength.

    The side is that of the soft label, whatever became of the verdict: where both orders disagree it is still that of
    the surer one. Gold ties have no side; a strength of 0.5 is half right.
    """
    sides: list[float] = []
    distances: list[float] = []
    for true, said in zip(gold, given, strict=True):
        pairs = list(zip(_strengths(true), _strengths(said), strict=True))
        distances.append(float(np.mean([(z - y) ** 2 for y, z in pairs])))
        on_side = [(1 + np.sign((y - 0.5) * (z - 0.5))) / 2 for y, z in pairs if y != 0.5]
        if on_side:
            sides.append(float(np.mean(on_side)))
    measured = Measured()
    if sides:
        how = "share of the pairs with a winner in gold whose strength is on its side"
        measured += _mean("pair_accuracy", how, np.array(sides), (0.0, 1.0), resampling)
    how = "mean squared distance of the strength from gold's"
    return measured + _mean("strength_brier", how, np.array(distances), (0.0, 1.0), resampling)


def _asked_twice(outcome: Outcome) -> list[tuple[float, float]]:
    """Return for each pair that was asked in both orders the share of them that said so, and the leaning."""
    if isinstance(outcome, Abstention) and outcome.reason in (FIRST, SECOND):
        return [(0.0, float(outcome.reason == FIRST))]
    parts = (outcome.part_confidences or {}) if isinstance(outcome, Annotation) else {}
    return [
        (orders, parts[f"first/{place.removeprefix('orders/')}"])
        for place, orders in parts.items()
        if place.startswith("orders/")
    ]


def _strengths(answer: Answer) -> Sequence[float]:
    """Return the strength of each pair; rankings have several."""
    strengths = answer.get("strengths")
    return [answer["strength"]] if strengths is None else [strengths[pair] for pair in sorted(strengths)]


def _mean(name: str, how: str, values: Array, ends: tuple[float, float], resampling: Resampling) -> Measured:
    """Return a mean over records; of values that are all hard, replicates are smoothed by one record at the ends."""
    cells, at = np.unique(np.concatenate([values, ends]), return_inverse=True)
    counts = np.bincount(at[: len(values)], minlength=len(cells))
    smoothing: Array | None = None
    if np.isin(values, _HARD).all():
        smoothing = np.where(np.isin(cells, ends), 0.5, 0.0)

    def mean(weights: Array) -> Array:
        return weights @ cells / weights.sum(axis=1)

    return bootstrap([Metric(name, mean, how, "")], counts, resampling=resampling, smoothing=smoothing)


def _ratio(hits: Array, of: Array) -> Statistic:
    return lambda weights: (weights @ hits) / (weights @ of)
