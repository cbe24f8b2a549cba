import pytest

from postil.cli import shown
from postil.cli.terminal import Terminal
from postil.project.running import Exchange, Preview
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.preference import Preference
from postil.tasks.spans import Spans
from postil.types import Annotation, Assessment, Confidence, Estimate, Failure, Message, Outcome, Record


def assessment(accuracy: float, at_least: float) -> Assessment:
    def estimate(value: float) -> Estimate:
        return Estimate(value, value - 0.1, value + 0.1, 0.95, 100, "made up")

    metrics = {"accuracy": estimate(accuracy), "accuracy_lower_bound": estimate(at_least)}
    return Assessment("tone", "classification", "small", 100, 100, estimate(1.0), metrics)


@pytest.mark.parametrize(("at_least", "told"), [(0.8, False), (0.7, True)])
def test_bounds_are_told_where_answers_are_missing(
    at_least: float, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shown.assessment(Terminal(as_json=False), assessment(0.8, at_least))
    assert ("accuracy_lower_bound" in capsys.readouterr().out) == told


def preview(outcome: Outcome | None, *exchanges: tuple[str, str | None]) -> Preview:
    said = [Exchange([Message("user", asked)], reply) for asked, reply in exchanges]
    return Preview(Record("r", {"text": "x"}), said, outcome)


def told(seen: Preview, task: Task, capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown.previews(Terminal(as_json=False), [seen], task)
    return capsys.readouterr().out.splitlines()


def test_each_reply_of_a_preview_stands_under_its_own_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    task = Preference("better", "Which is better?")
    verdict = Annotation("r", "m", {"preferred": "tie", "strength": 0.5})
    assert told(preview(verdict, ("A or B?", "A first"), ("B or A?", "B first")), task, capsys) == [
        "── record r",
        *("─ request 1 of 2", "[user]", "A or B?", "[reply]", "A first"),
        *("─ request 2 of 2", "[user]", "B or A?", "[reply]", "B first"),
        "→ tie",
        "",
    ]


def test_the_only_reply_of_a_preview_stands_beside_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    task = Classification("tone", "Is it good?", labels=["pos", "neg"])
    label = Annotation("r", "m", {"label": "pos"}, Confidence(0.5, "logprob"))
    assert told(preview(label, ("Good?", "POS")), task, capsys)[-2] == "→ pos, confidence 0.500 (reply: 'POS')"
    failed = told(preview(Failure("r", "m", "unreadable", "no label"), ("Good?", "Hm.")), task, capsys)
    assert failed[1:] == ["[user]", "Good?", "[reply]", "Hm.", "→ failed, unreadable: no label", ""]
    unasked = told(preview(None, ("Good?", None)), task, capsys)
    assert unasked[1:] == ["[user]", "Good?", "→ not asked: the budget is spent", ""]


def test_a_preview_says_which_words_were_not_found_letter_by_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """Reliability A9: placed by a reported method."""
    task = Spans("names", "Who?", labels=["PER"])
    spans = {"spans": [{"start": at, "end": at + 1, "label": "PER", "text": "x"} for at in (0, 2)]}
    found = Annotation("r", "m", spans, placings={"spans/0": "exact", "spans/1": "case"})
    assert told(preview(found, ("Who?", "x")), task, capsys)[-2] == (
        "→ PER: x; PER: x, spans/1 placed by case (reply: 'x')"
    )
