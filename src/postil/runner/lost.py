"""Requests of earlier runs whose fate is not known: how many, and the most they can have cost (reliability R2)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from postil.runner.annotator import Interview, PromptedAnnotator
from postil.runner.money import FREE, Ledger, Price
from postil.store import Journal, LostRequest
from postil.types import Budget, Usage


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """What earlier runs of an annotator have left open."""

    requests: int
    usd: float | None
    """The most they can have come to; `None` where it is not known."""
    lost: frozenset[str]
    """Digests of the project's requests that may have been paid for: what must not leave if they are to be held."""


def open_requests(
    journal: Journal, annotator: PromptedAnnotator, price: Price | None, *, in_batches: Collection[int] = ()
) -> OpenRequests:
    """Return what earlier runs have left open; intents of requests that are `in_batches` are not.

    Call it under the lock of the run, when no other run has requests under way.
    """
    lost = [each for each in journal.lost_requests() if each.intent not in in_batches]
    own = [each for each in lost if each.open and each.annotator == annotator.id]
    if annotator.engine.capabilities.free:
        price = FREE
    return OpenRequests(len(own), _most(journal, annotator, price, own), frozenset(each.request for each in lost))


def _most(
    journal: Journal, annotator: PromptedAnnotator, price: Price | None, requests: Iterable[LostRequest]
) -> float | None:
    most = 0.0
    for each in requests:
        usd = each.most_usd if each.most_usd is not None else _derived(journal, annotator, price, each)
        if usd is None:
            return None
        most += usd
    return most


def _derived(journal: Journal, annotator: PromptedAnnotator, price: Price | None, lost: LostRequest) -> float | None:
    """Return the most that a request can come to which left without a price, as far as it can be rendered again."""
    if price is None or lost.record is None:
        return None
    for record in journal.some_records([lost.record]):
        asked = Interview(annotator, record).asked
        if asked is not None and asked.digest == lost.request:
            read = annotator.engine.count_tokens(asked.request.messages)
            return Ledger(Budget(), price).worst(Usage(read, asked.request.max_tokens)).usd
    return None
