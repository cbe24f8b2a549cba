"""`verify`: labels and figures derived again from the journal alone, offline (invariants I1 to I6)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from postil.canonical import digest
from postil.errors import PostilError
from postil.runner import Price, PromptedAnnotator
from postil.runner.prior import measured_prior
from postil.store import Journal, StoredOutcome
from postil.types import JSON, Abstention, Annotation, Failure, Outcome


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, how often, and every problem found."""

    checked: Mapping[str, int]
    problems: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil verify --json` prints."""
        return {"ok": self.ok, "checked": dict(self.checked), "problems": list(self.problems)}


class Verifier:
    """Goes through a journal once and trusts nothing in it that follows from something else in it."""

    def __init__(self, journal: Journal, annotators: Mapping[str, PromptedAnnotator]) -> None:
        """Take the annotators of today's settings by id: their prompts can be rendered again, others' cannot."""
        self._journal = journal
        self._annotators = annotators
        self._checked: Counter[str] = Counter()
        self._problems: list[str] = []

    def verify(self) -> Verification:
        """Return what is right and what is not."""
        self._check("file", self._journal.integrity(), "ok", "the journal's file")
        for record, fingerprint in self._journal.record_digests():
            self._check("records", digest(record.fields), fingerprint, f"record {record.id!r}: its fields")
        for id_, name, spec in self._journal.annotators():
            self._check("annotators", digest(spec), id_, f"annotator {name!r}: its spec")
            self._annotator(id_, name)
        self._costs()
        return Verification(dict(self._checked), tuple(self._problems))

    def _check(self, what: str, derived: object, stored: object, words: str) -> None:
        self._checked[what] += 1
        if derived != stored:
            self._problems.append(f"{words}: the journal says {stored!r}, derived again {derived!r}"[:500])

    def _annotator(self, id_: str, name: str) -> None:
        prior = self._prior(id_, name)
        annotator = self._annotators.get(id_)
        rebuilt = None if annotator is None else replace(annotator, prior=prior)
        ended = 0
        for stored in self._journal.outcomes(id_):
            ended += 1
            self._outcome(stored, name, rebuilt)
        total = ended + self._journal.count_pending(id_)
        self._check("conservation", total, self._journal.count_records(), f"annotator {name!r}: outcomes and pending")

    def _costs(self) -> None:
        for intent, completion, usage, usd, manifest in self._journal.paid_replies():
            self._check("tokens", completion.usage, usage, f"request {intent}: its tokens")
            price = manifest["price"]
            derived = None if price is None else Price(**price).cost(usage)
            self._check("costs", derived, usd, f"request {intent}: its cost")

    def _prior(self, id_: str, name: str) -> tuple[float, ...] | None:
        event = self._journal.latest_event("prior", id_)
        if event is None or event["prior"] is None:
            return None
        completions = [self._journal.completion_of(request) for request in event["requests"]]
        derived = measured_prior(c.choice_probabilities for c in completions if c and c.choice_probabilities)
        kept = tuple(event["prior"])
        same = derived is not None and all(map(math.isclose, derived, kept)) and len(derived) == len(kept)
        self._check("priors", same, True, f"annotator {name!r}: its prior")
        return kept

    def _outcome(self, stored: StoredOutcome, name: str, annotator: PromptedAnnotator | None) -> None:
        outcome, completion = stored.outcome, stored.completion
        if completion is None:
            self._checked["outcomes without a request"] += 1
            return
        words = f"annotator {name!r}, record {outcome.record!r}"
        request = outcome.provenance.request or ""
        if annotator is None:
            self._checked["outcomes of annotators no longer in the settings"] += 1
            return
        derived = annotator.read(outcome.record, completion, request)
        self._check("answers", _essence(derived), _essence(outcome), f"{words}: the answer in its reply")
        self._check("prompts", self._digest(annotator, outcome.record), request, f"{words}: its prompt")

    def _digest(self, annotator: PromptedAnnotator, record: str) -> str:
        try:
            [found] = self._journal.some_records([record])
            return annotator.request_digest(annotator.request(found))
        except (PostilError, ValueError) as error:
            return f"cannot be rendered: {error}"


def _essence(outcome: Outcome) -> tuple[object, ...]:
    """Return what of an outcome follows from its reply."""
    match outcome:
        case Annotation():
            return ("annotation", outcome.answer, outcome.confidence, outcome.probabilities)
        case Abstention():
            return ("abstention", outcome.reason)
        case Failure():
            return ("failure", outcome.failure_class, outcome.message)
