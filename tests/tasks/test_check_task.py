"""The check for other people's kinds: whole kinds pass (see the tests of each kind), each broken promise is found."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest

from postil.tasks import AnswerForm, Ask, Reading, Scale
from postil.tasks.classification import Classification
from postil.testing import check_task
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

A, B = {"label": "a"}, {"label": "b"}
Prior = Sequence[float] | None


class Whole(Classification):
    """A kind of its own, so that it is rebuilt by its own `from_spec`."""

    kind: ClassVar[str] = "whole"

    def __init__(self, name: str = "t", instruction: str = "Which?", **options: Any) -> None:
        given: dict[str, Any] = {"labels": ["a", "b"]}
        super().__init__(name, instruction, **(given | options))


class SpecThatIsNoJson(Whole):
    @property
    def spec(self) -> Mapping[str, JSON]:
        return {**super().spec, "labels": set(self.labels)}


class SpecOfAnotherKind(Whole):
    @property
    def spec(self) -> Mapping[str, JSON]:
        return {**super().spec, "kind": "classification"}


class SpecThatLosesSomething(Whole):
    @property
    def spec(self) -> Mapping[str, JSON]:
        return {key: value for key, value in super().spec.items() if key != "show"}


class SpecThatLosesTheOrder(Whole):
    @property
    def spec(self) -> Mapping[str, JSON]:
        return {**super().spec, "labels": dict.fromkeys(self.labels, "")}


class UnknownScale(Whole):
    @property
    def scale(self) -> Scale:
        scale: Any = "roughly"
        return scale


class AcceptsInPlace(Whole):
    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        accepted = super().accept(answer)
        if isinstance(answer, dict):
            answer["seen"] = True
        return accepted


class AcceptsOtherwiseTheSecondTime(Whole):
    numbers = itertools.count()

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        return {**super().accept(answer), "number": next(self.numbers)}


class AcceptsWithTheWrongError(Whole):
    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        return {"label": self.labels[self.labels.index(answer["label"])]}


class ValueOutside(Whole):
    def value(self, answer: Answer) -> str:
        return f"{answer['label']}!"


class Favours(Whole):
    def agreement(self, first: Answer, second: Answer) -> float:
        return 1.0 if first == second else 0.5 if first == A else 0.0


class NeverQuiteAgrees(Whole):
    def agreement(self, first: Answer, second: Answer) -> float:
        return 0.99


class MergesNothingIntoSomething(Whole):
    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        return super().merge([*answers, (A, 0.01)])


class MergesTheFirst(Whole):
    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        return answers[0][0] if answers else None


class DescribesAtLength(Whole):
    def describe(self, answer: Answer) -> str:
        return f"the label is\n{answer['label']}"


class AsksForNothing(Whole):
    def ask(self, form: AnswerForm) -> Ask:
        return replace(super().ask(form), contract="")


class ForgetsTheLetters(Whole):
    def __init__(self, name: str = "t", instruction: str = "Which?", **options: Any) -> None:
        super().__init__(name, instruction, **{**options, "labels": ["xa", "xb"]})

    def ask(self, form: AnswerForm) -> Ask:
        return super().ask(replace(form, style="label"))


class WritesOneForAll(Whole):
    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        return super().write(A, form)


class WritesBesideTheChoices(Whole):
    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        return f"It is {answer['label']}."


class Reads(Whole):
    """Breaks reading in one way, which a subclass names."""

    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        return super().read(self.seen(completion), form, record, prior)

    def seen(self, completion: Completion) -> Completion:
        return completion


class IgnoresTheFinish(Reads):
    def seen(self, completion: Completion) -> Completion:
        return replace(completion, finish="stop")


class IgnoresOneFinish(Reads):
    ignored: Literal["filter", "refusal"] = "filter"

    def seen(self, completion: Completion) -> Completion:
        return replace(completion, finish="stop") if completion.finish == self.ignored else completion


class TakesTheFirstLine(Reads):
    def seen(self, completion: Completion) -> Completion:
        return replace(completion, text=completion.text.strip().partition("\n")[0])


class TakesTheLastWord(Reads):
    def seen(self, completion: Completion) -> Completion:
        return replace(completion, text=(completion.text.split() or [""])[-1])


class FallsBackToTheFirst(Whole):
    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        try:
            return super().read(completion, form, record, prior)
        except Exception:
            if completion.finish != "stop":
                raise
            return Reading(A)


class RaisesWhatItLikes(Whole):
    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        completion.text.encode()
        return super().read(completion, form, record, prior)


class CertainOfEverything(Whole):
    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        reading = super().read(completion, form, record, prior)
        return replace(reading, confidence=reading.confidence or Confidence(1.0, "logprob"))


class ForgetsToNormalise(Whole):
    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        reading = super().read(completion, form, record, prior)
        odds = {label: 2 * p for label, p in (reading.probabilities or {}).items()}
        return replace(reading, probabilities=odds or None)


class FollowsPositions(Whole):
    def read(self, completion: Completion, form: AnswerForm, record: Record, prior: Prior = None) -> Reading:
        reading = super().read(completion, form, record, prior)
        assert reading.answer is not None
        return replace(reading, answer={"label": "ab"[self.labels.index(str(reading.answer["label"]))]})


class NoKind:
    kind = "none"


BROKEN: list[tuple[Callable[[], Any], str]] = [
    (NoKind, "the task: expected Task"),
    (SpecThatIsNoJson, "spec must be JSON"),
    (SpecOfAnotherKind, "spec['kind']: expected 'whole', got 'classification'"),
    (lambda: SpecThatLosesSomething(show="{title}"), "the task made from its spec"),
    (lambda: SpecThatLosesTheOrder(labels=["b", "a"]), "the task made from its spec"),
    (UnknownScale, "scale: got 'roughly'"),
    (AcceptsInPlace, "after it was accepted"),
    (AcceptsOtherwiseTheSecondTime, "accepted again"),
    (AcceptsWithTheWrongError, "must raise DataError, it raised"),
    (ValueOutside, "must be one of the labels, got 'a!'"),
    (Favours, "the other way round"),
    (NeverQuiteAgrees, "with itself must be 1, got 0.99"),
    (MergesNothingIntoSomething, "merge of no answers"),
    (MergesTheFirst, "merge of the same answers in another order"),
    (DescribesAtLength, "lines of the description"),
    (AsksForNothing, "contract must say how"),
    (ForgetsTheLetters, "the options' codes"),
    (WritesOneForAll, "written and read back"),
    (WritesBesideTheChoices, "written and read back"),
    (IgnoresTheFinish, "a reply with finish 'length' must raise Truncated"),
    (IgnoresOneFinish, "a reply with finish 'filter' must raise Filtered"),
    (TakesTheFirstLine, "written and read back from '<think>"),
    (TakesTheLastWord, "was read as"),
    (FallsBackToTheFirst, "is no answer, and was read as"),
    (RaisesWhatItLikes, "read must raise AnswerError or nothing, it raised UnicodeEncodeError"),
    (CertainOfEverything, "confidence of a reply that came without probabilities"),
    (ForgetsToNormalise, "probabilities must sum to 1"),
    (FollowsPositions, "labels turned round"),
]


def test_a_whole_kind_passes() -> None:
    check_task(Whole(), [A, B])
    check_task(Whole(abstain="c", aliases={"x": "a"}, ordered=True), [A, B])


@pytest.mark.parametrize(("make", "words"), BROKEN, ids=lambda each: getattr(each, "__name__", None))
def test_each_broken_promise_is_found_and_named(make: Callable[[], Any], words: str) -> None:
    task = make()
    answers = [{"label": label} for label in getattr(task, "labels", ("a", "b"))]
    with pytest.raises(AssertionError) as caught:
        check_task(task, answers)
    assert words in str(caught.value)


def test_there_must_be_something_to_check_with() -> None:
    with pytest.raises(AssertionError, match="at least one answer"):
        check_task(Whole(), [])


def test_a_kind_without_a_way_back_from_its_spec_is_checked_as_far_as_it_goes() -> None:
    class NoWayBack(Whole):
        from_spec: Any = None

    check_task(NoWayBack(), [A, B])
    assert NoWayBack().form(Capabilities()).style == "label"
