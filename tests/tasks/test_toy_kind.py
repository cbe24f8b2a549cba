"""The seam of a kind: the one that `docs/adding-a-kind.md` builds from nothing goes through the whole of Postil."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import postil
from postil import Capabilities, Completion, Record
from postil.assess import assess
from postil.errors import DataError, OutsideLabels, Unreadable
from postil.formats import read_gold
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale, Task
from postil.tasks.merging import heaviest
from postil.tasks.reading import clip, complete_text, json_object, not_readable
from postil.tasks.shown import Shown
from postil.testing import check_task
from postil.types import JSON, Answer

CONTRACT = 'Answer with JSON and nothing else: {"answer": "yes" or "no", "quote": the words of the text that say yes}.'
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}, "quote": {"type": "string"}},
    "required": ["answer", "quote"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class QuotedYesNo:
    """Yes or no, with the words of the text that say so."""

    kind: ClassVar[str] = "quoted_yes_no"
    answer_keys: ClassVar[tuple[str, ...]] = ("answer", "quote")
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    show: str = "{text}"
    language: Language = "en"

    @property
    def labels(self) -> tuple[str, ...]:
        return ("yes", "no")

    @property
    def scale(self) -> Scale:
        return "nominal"

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "show": self.show,
            "language": self.language,
        }

    def form(self, capabilities: Capabilities) -> AnswerForm:
        return AnswerForm("json", max_tokens=200, schema=SCHEMA)

    def ask(self, form: AnswerForm) -> Ask:
        options = (Option("yes", "the text says so"), Option("no", "it does not"))
        return Ask(self.instruction, options, CONTRACT, cue="Answer")

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        return json.dumps(dict(answer), ensure_ascii=False)

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        text = complete_text(completion)
        fields = json_object(text)
        if fields is None:
            raise not_readable(text, "a JSON object")
        try:
            answer = self.accept(fields)
        except DataError as error:
            raise OutsideLabels(str(error)) from None
        if answer["quote"] not in Shown.parse(self.show).render(record):
            raise Unreadable(f"expected words of the text, got {clip(answer['quote'])!r}")
        return Reading(answer)

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        said, quote = answer.get("answer"), answer.get("quote", "")
        if said not in self.labels or not isinstance(quote, str):
            raise DataError(f"expected yes or no with a quote, got {clip(repr(dict(answer)))}")
        return {"answer": said, "quote": quote if said == "yes" else ""}

    def value(self, answer: Answer) -> str:
        return str(answer["answer"])

    def agreement(self, first: Answer, second: Answer) -> float:
        return ((first["answer"] == second["answer"]) + (first == second)) / 2

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        said = heaviest((self.value(answer), weight) for answer, weight in answers)
        quote = heaviest((answer["quote"], weight) for answer, weight in answers if answer["answer"] == said)
        return None if said is None else {"answer": said, "quote": quote or ""}

    def describe(self, answer: Answer) -> str:
        quote = " ".join(answer["quote"].split())
        return f"{answer['answer']} ({quote})" if quote else str(answer["answer"])


TASK = QuotedYesNo("battery", "Does the text say that the battery failed?")
YES: Answer = {"answer": "yes", "quote": "The battery died"}
NO: Answer = {"answer": "no", "quote": ""}


def model(request: postil.Request) -> str:
    """Find the battery; where it is a charger, say what nobody wrote."""
    text = request.messages[-1].content
    if "charge" in text:
        return '{"answer": "yes", "quote": "it is hard to charge"}'
    return json.dumps(YES if "battery died" in text else NO)


def test_the_kind_is_the_one_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "adding-a-kind.md").read_text(encoding="utf-8")
    assert inspect.getsource(QuotedYesNo) in page


def test_the_kind_keeps_its_contract() -> None:
    assert isinstance(TASK, Task)
    check_task(TASK, [YES, NO], record=Record("r", {"text": "The battery died after two days."}))


def test_a_kind_that_nobody_knows_is_annotated() -> None:
    texts = ["A fine camera.", "The battery died after two days.", "It will not charge."]
    engine = postil.ScriptedEngine(model)
    rows = postil.annotate(texts, TASK, engine=engine, demonstrations=[("It broke.", NO)])
    assert [(row["outcome"], row["answer"]) for row in rows] == [
        ("annotation", NO),
        ("annotation", YES),
        ("failure", None),
    ]
    assert "it is hard to charge" in rows[2]["message"]
    asked = engine.requests[0].messages
    assert [message.role for message in asked] == ["system", "user", "assistant", "user"]
    assert asked[2].content == json.dumps(NO)


def test_a_kind_that_nobody_knows_reads_its_gold_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"id": "1", "answer": "yes", "quote": "died"}\n{"id": "2", "answer": "no"}\n', encoding="utf-8")
    found = {line.record: line.answer for line in read_gold(path, TASK)}
    assert found == {"1": {"answer": "yes", "quote": "died"}, "2": NO}


def test_a_kind_that_nobody_knows_is_measured() -> None:
    gold = {str(i): YES if i < 30 else NO for i in range(40)}
    given = {str(i): YES if i < 27 else NO for i in range(40)}
    outcomes = {id_: postil.Annotation(id_, "model", answer) for id_, answer in given.items()}
    measured = assess(TASK, annotator="model", outcomes=outcomes, gold=gold, records=40, rng=np.random.default_rng(0))
    assert measured.metrics["accuracy"].value == 37 / 40
    assert (measured.labels, measured.confusion) == (("yes", "no"), ((27, 3), (0, 10)))
    assert measured.kind == "quoted_yes_no"


@pytest.mark.parametrize("gold", [{"answer": "maybe"}, {"quote": "x"}, {}])
def test_what_is_no_answer_to_it_is_refused(gold: Answer) -> None:
    with pytest.raises(DataError, match="expected yes or no"):
        TASK.accept(gold)
