"""`verify`: labels and figures derived again from the journal alone, offline (invariants I1 to I6)."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from postil.canonical import digest
from postil.errors import PostilError
from postil.runner import Interview, Price, PromptedAnnotator
from postil.runner.prior import measured_prior
from postil.store import Journal, StoredOutcome
from postil.store.sealing import TABLES
from postil.types import JSON, Abstention, Annotation, Completion, Failure, Outcome, Record

_MOST_PROBLEMS: Final = 200


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, how often, and every problem found."""

    checked: Mapping[str, int]
    problems: Sequence[str]
    head: str = ""
    """Digest of the last row of each table. Kept elsewhere, it shows later that nothing before it was rewritten."""

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil verify --json` prints."""
        return {"ok": self.ok, "checked": dict(self.checked), "problems": list(self.problems), "head": self.head}


class Verifier:
    """Goes through a journal once and trusts nothing in it that follows from something else in it."""

    def __init__(
        self, journal: Journal, annotators: Mapping[str, PromptedAnnotator], problems: Iterable[str] = ()
    ) -> None:
        """Take the annotators of today's settings by id: their prompts can be rendered again, others' cannot.

        `problems` are those that making the annotators has met with.
        """
        self._journal = journal
        self._annotators = annotators
        self._checked: Counter[str] = Counter()
        self._problems = [*problems]
        self._further = 0

    def verify(self) -> Verification:
        """Return what is right and what is not."""
        head = ""
        steps: Sequence[tuple[str, Callable[[], None]]] = (
            ("file", self._file),
            ("seals", self._seals),
            ("heads", self._heads),
            ("records", self._records),
            ("gold", self._gold),
            ("totals", self._totals),
            ("costs", self._costs),
            ("annotators", self._all_annotators),
        )
        for name, step in steps:
            try:
                step()
            except (PostilError, LookupError, TypeError, ValueError) as error:
                # What stands there is no longer what was written; the other steps may still say where.
                self._problem(f"{name}: cannot be checked to the end: {error!r}")
        if not self._problems:
            head = digest({table: list(last) for table, last in self._journal.heads().items()})
        if self._further:
            self._problems.append(f"and {self._further} more")
        return Verification(dict(self._checked), tuple(self._problems), head)

    def _check(self, what: str, derived: object, stored: object, words: str) -> None:
        self._checked[what] += 1
        if isinstance(derived, Mapping) and isinstance(stored, Mapping):
            for part in {**derived, **stored}:
                self._compare(derived.get(part), stored.get(part), f"{words}: {part}")
        else:
            self._compare(derived, stored, words)

    def _compare(self, derived: object, stored: object, words: str) -> None:
        if derived != stored:
            self._problem(f"{words}: the journal says {stored!r}, derived again {derived!r}")

    def _problem(self, words: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(words[:500])
        else:
            self._further += 1

    # Rows as they were written

    def _file(self) -> None:
        self._check("file", self._journal.integrity(), "ok", "the journal's file")

    def _seals(self) -> None:
        for table in TABLES:
            self._checked["rows"] += self._journal.heads()[table][0]
            for words in self._journal.broken_seals(table):
                self._problem(words)

    def _heads(self) -> None:
        """Find rows that are missing at the end of a table: each run has noted how far its tables went."""
        for kind in ("run", "run_end"):
            for number, _, body in self._journal.events(kind):
                for table, (last, seal) in body["heads"].items():
                    found = self._journal.seal_of(table, last)
                    self._checked["heads"] += 1
                    if found is None and last:
                        self._problem(
                            f"{table} {last}: removed from the end; event {number} has noted that it was there"
                        )
                    else:
                        self._compare(found or "", seal, f"event {number}: the seal of row {last} of {table}")

    def _records(self) -> None:
        for record, fingerprint in self._journal.record_digests():
            self._check("records", digest(record.fields), fingerprint, f"record {record.id!r}: its fields")

    def _gold(self) -> None:
        self._checked["gold"] += len(self._journal.gold())

    def _totals(self) -> None:
        """Find that the totals which looks at the journal count on from are not what its rows come to."""
        self._checked["totals"] += 1
        if (words := self._journal.wrong_totals()) is not None:
            self._problem(words)

    def _costs(self) -> None:
        prices = {run: body["price"] for run, _, body in self._journal.events("run")}
        for reply in self._journal.replies():
            if reply.completion is None:
                continue
            self._check("tokens", reply.completion.usage, reply.usage, f"request {reply.intent}: its tokens")
            price = prices[reply.run]
            derived = None if price is None else Price(**price).cost(reply.usage)
            self._check("costs", derived, reply.usd, f"request {reply.intent}: its cost")

    # What follows from them

    def _all_annotators(self) -> None:
        for id_, name, spec in self._journal.annotators():
            self._check("annotators", digest(spec), id_, f"annotator {name!r}: its spec")
            self._annotator(id_, name, asked="source" not in spec)

    def _annotator(self, id_: str, name: str, *, asked: bool) -> None:
        prior = self._prior(id_, name)
        annotator = self._annotators.get(id_)
        rebuilt = None if annotator is None else replace(annotator, prior=prior)
        ended = 0
        for stored in self._journal.outcomes(id_):
            ended += 1
            if asked:
                self._outcome(stored, f"annotator {name!r}, record {stored.outcome.record!r}", rebuilt)
            else:
                self._checked["outcomes made elsewhere"] += 1
        held = sum(self._journal.count_outcomes(id_).values())
        self._check("outcomes with a record", held, ended, f"annotator {name!r}: outcomes of records that are there")
        total = ended + self._journal.count_pending(id_)
        self._check("conservation", total, self._journal.count_records(), f"annotator {name!r}: outcomes and pending")

    def _prior(self, id_: str, name: str) -> tuple[float, ...] | None:
        event = self._journal.latest_event("prior", id_)
        if event is None or event["prior"] is None:
            return None
        completions = [self._journal.completion_of(request) for request in event["requests"]]
        derived = measured_prior(c.choice_probabilities for c in completions if c and c.choice_probabilities)
        kept = tuple(event["prior"])
        same = derived is not None and len(derived) == len(kept) and all(map(math.isclose, derived, kept))
        self._check("priors", same, True, f"annotator {name!r}: its prior")
        return kept

    def _outcome(self, stored: StoredOutcome, words: str, annotator: PromptedAnnotator | None) -> None:
        if stored.error is not None:
            error = stored.error
            derived = {"outcome": "failure", "failure class": error["failure_class"], "message": error["message"]}
            self._check("failures", derived, _essence(stored.outcome), f"{words}: its failure")
        elif annotator is None:
            self._checked["outcomes of annotators no longer in the settings"] += 1
        if annotator is None:
            return
        for record in self._journal.some_records([stored.outcome.record]):
            self._outcome_of(record, stored, words, annotator)

    def _outcome_of(self, record: Record, stored: StoredOutcome, words: str, annotator: PromptedAnnotator) -> None:
        outcome, interview = stored.outcome, Interview(annotator, record, stored.revision)
        last = None
        while (asked := interview.asked) is not None:
            last = asked.digest
            if stored.error is not None and last == outcome.provenance.request:
                break
            completion = self._completion(last, stored)
            if completion is None:
                self._problem(f"{words}: its prompt: the journal holds no reply to the prompt derived again")
                return
            interview.take(completion)
        derived = None if interview.outcome is None else _essence(interview.outcome)
        if stored.error is not None:
            # The error is that of a request about this record, and of no other.
            self._check("prompts", last, outcome.provenance.request, f"{words}: its prompt")
            return
        if last is None:
            self._check("failures", derived, _essence(outcome), f"{words}: why it was not asked about")
            return
        self._check("prompts", last, outcome.provenance.request, f"{words}: its prompt")
        self._check("answers", derived, _essence(outcome), f"{words}: the answer in its reply")

    def _completion(self, request: str, stored: StoredOutcome) -> Completion | None:
        if request == stored.outcome.provenance.request:
            return stored.completion
        return self._journal.completion_of(request)


def _essence(outcome: Outcome) -> Mapping[str, object]:
    """Return what of an outcome follows from its reply, by its name in words."""
    match outcome:
        case Annotation():
            return {
                "outcome": "annotation",
                "answer": outcome.answer,
                "confidence": outcome.confidence,
                "probabilities": outcome.probabilities,
                "rationale": outcome.rationale,
                "confidences of parts": outcome.part_confidences,
                "evidence": outcome.evidence,
                "rejected": outcome.rejected,
                "placings": outcome.placings,
            }
        case Abstention():
            return {"outcome": "abstention", "reason": outcome.reason}
        case Failure():
            return {"outcome": "failure", "failure class": outcome.failure_class, "message": outcome.message}
