"""The results of a batch, as its lines are read: which request each answers, and what is still open."""

from collections.abc import Iterator, Mapping

from postil.engines.batch import Batch
from postil.runner.annotator import Interview, PromptedAnnotator
from postil.runner.submitted import Line, Submitted, custom_id_of
from postil.store import Journal
from postil.types import Request


class ResultsRead:
    """The results of one batch, as far as they were read."""

    __slots__ = ("_seen", "batch", "cancelled", "left", "repeated", "requests", "submitted", "unknown")

    def __init__(self, submitted: Submitted, batch: Batch, journal: Journal, annotator: PromptedAnnotator) -> None:
        self.submitted = submitted
        self.batch = batch
        self.cancelled = batch.status == "cancelled"
        """Somebody has called it off: what is not answered is not to be asked for by itself."""
        self.left = dict(submitted.lines)
        """What has no answer in the journal yet."""
        self.requests = Requests(journal, annotator, self.left)
        self.begin()

    def begin(self) -> None:
        """Read from the beginning."""
        self.unknown = list[str]()
        self.repeated = list[str]()
        self._seen = set[str]()

    def is_wanted(self, custom_id: str) -> bool:
        """Return whether a line is the first for a request without an answer; note lines of nobody, or there twice."""
        if custom_id not in self.submitted.lines and custom_id not in self.submitted.answered:
            self.unknown.append(custom_id)
            return False
        if custom_id in self._seen:
            self.repeated.append(custom_id)
            return False
        self._seen.add(custom_id)
        return custom_id in self.left


class Requests(Mapping[str, Request]):
    """The requests of a batch by custom id, derived again from the journal as they are needed: none is kept."""

    def __init__(self, journal: Journal, annotator: PromptedAnnotator, lines: Mapping[str, Line]) -> None:
        self._journal = journal
        self._annotator = annotator
        self._lines = lines
        # Between the moment when a reply is read and the one when it is written.
        self._derived: dict[str, Interview] = {}

    def interview(self, custom_id: str) -> Interview | None:
        """Return the interview of a record at the point where it asks this request; `None` if it is not there now."""
        return self._derived.pop(custom_id, None) or self._at(custom_id)

    def _at(self, custom_id: str) -> Interview | None:
        for record in self._journal.some_records([self._lines[custom_id].record]):
            interview = Interview(self._annotator, record)
            while (asked := interview.asked) is not None and custom_id_of(asked.digest) != custom_id:
                known = self._journal.answered(asked.digest)
                if known is None:
                    return None
                interview.take(known[1])
            return interview if interview.asked is not None else None
        return None

    def __getitem__(self, custom_id: str) -> Request:
        interview = self._at(custom_id) if custom_id in self._lines else None
        if interview is None or interview.asked is None:
            raise KeyError(custom_id)
        self._derived[custom_id] = interview
        return interview.asked.request

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)
