"""Scores of texts are those of other implementations; quotes and numbers count where they are (survey 2.30, A9)."""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.assess import assess
from postil.assess.compared import Counts
from postil.assess.intervals import Resampling
from postil.assess.texts import chrf, compare, number_in, quote_metrics, rouge_l
from postil.tasks.text import Text
from postil.types import Abstention, Annotation, Answer, Estimate, Failure, Outcome
from tests.tasks import gold_text
from tests.tasks.gold_text import path_of, records_and_gold, task_for

TASK = Text("answer", "Why did it fail?")
GROUNDED = Text("answer", "Why did it fail?", grounded=True)

ORACLES = [
    # said, text, chrF2 by sacrebleu 2.6.0 (CHRF().sentence_score), ROUGE-L by rouge-score 0.1.2 (no stemmer)
    ("The cat sat on the mat.", "A cat is sitting on the mat.", 0.4065900524, 0.6153846154),
    ("the quick brown fox", "the quick brown fox", 1.0, 1.0),
    ("abc", "xyz", 0.0, 0.0),
    ("a", "ab", 0.5555555556, 0.0),
    ("hello world", "world hello", 0.5906084656, 0.5),
    (
        "It rained heavily all day, so the match was called off.",
        "The match was cancelled because of heavy rain.",
        0.411360308,
        0.3157894737,
    ),
    ("under_score and 3.5 mm", "underscore and 3.5mm", 0.813872705, 0.4),
    # rouge-score knows no Chinese: its tokens are letters and digits of English.
    ("北京是中国的首都。", "中国的首都是北京。", 0.4311507937, None),
    ("今天天气很好，我们去公园散步吧！", "今天天气不错，我们去公园走走吧。", 0.3691121379, None),
    ("GPU 有 80 GB 显存", "这块 GPU 的显存是 80GB", 0.2745220097, None),
]


@pytest.mark.parametrize(("said", "text", "by_characters", "by_words"), ORACLES)
def test_scores_are_those_of_other_implementations(
    said: str, text: str, by_characters: float, by_words: float | None
) -> None:
    assert chrf(said, text) == pytest.approx(by_characters, abs=1e-9)
    if by_words is not None:
        assert rouge_l(said, text) == pytest.approx(by_words, abs=1e-9)


def test_han_characters_are_words_of_their_own() -> None:
    # Common: 中国的首都 (5) of 8 characters each.
    assert rouge_l("北京是中国的首都。", "中国的首都是北京。") == 5 / 8


def longest(one: str, other: str) -> int:
    """Return the length of the longest common subsequence by its definition."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(st.text("天地人", min_size=1, max_size=90), st.text("天地人", min_size=1, max_size=90))
def test_rouge_finds_the_longest_common_subsequence(one: str, other: str) -> None:
    assert rouge_l(one, other) == pytest.approx(2 * longest(one, other) / (len(one) + len(other)))


@given(st.text(), st.text())
def test_scores_lie_between_0_and_1_and_equal_texts_have_1(one: str, other: str) -> None:
    for score in (chrf, rouge_l):
        assert 0 <= score(one, other) <= 1 + 1e-12
        assert score(one, one) == pytest.approx(1)
    assert rouge_l(one, other) == rouge_l(other, one)


def test_exact_match_and_f1_are_after_normalisation() -> None:
    made = compare(TASK, {"text": "the Battery"}, {"text": "Battery!"})
    assert (made.scores["exact_match"], made.scores["token_f1"], made.right) == (1.0, 1.0, True)
    half = compare(TASK, {"text": "two days"}, {"text": "two weeks"})
    assert (half.scores["exact_match"], half.scores["token_f1"], half.right) == (0.0, 0.5, False)
    chinese = compare(TASK, {"text": "北京大学"}, {"text": "北京的大学。"})
    assert chinese.scores["token_f1"] == pytest.approx(8 / 9)


def test_the_nearest_of_several_right_texts_counts() -> None:
    gold: Answer = {"text": "U.S.", "alternatives": ["United States", "America"]}
    made = compare(TASK, gold, {"text": "the United States"})
    assert (made.scores["exact_match"], made.right) == (1.0, True)
    assert made.scores["chrf"] > 0.8


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        ("$1,000.50", "1000.5"),
        ("72 apples", "72"),
        ("-3", "-3"),
        ("−3", "-3"),
        ("72 of 72.", "72"),
        ("５０％", "50"),
        ("共 12 个", "12"),
        ("between 10-15", None),
        ("8 x 9 = 72", None),
        ("none", None),
        ("二", None),
        ("1,2", None),
    ],
)
def test_the_one_number_in_a_text_is_found_and_of_several_none(text: str, number: str | None) -> None:
    assert number_in(text) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(("said", "right"), [("72 apples", True), ("$72.00", True), ("72 or 73", False), ("73", False)])
def test_where_gold_is_a_number_the_number_decides(said: str, right: bool) -> None:
    made = compare(TASK, {"text": "72"}, {"text": said})
    assert (made.scores["number_match"], made.right) == (float(right), right)
    assert "number_match" not in compare(TASK, {"text": "seventy-two"}, {"text": said}).scores


def span(start: int, end: int) -> dict[str, object]:
    return {"start": start, "end": end, "text": "x" * (end - start)}


def test_quotes_count_by_place_and_by_character() -> None:
    gold = {"text": "x", "quotes": [span(0, 10), span(20, 30)]}
    made = compare(GROUNDED, gold, {"text": "x", "quotes": [span(0, 10), span(25, 31), span(40, 44)]})
    assert made.counts == {"quotes": Counts(1, 3, 2), "quoted_characters": Counts(15, 20, 20)}
    unknown = compare(GROUNDED, {"text": "x"}, {"text": "x", "quotes": [span(0, 10)]})
    assert unknown.counts == {"quotes": Counts(0, 0, 0), "quoted_characters": Counts(0, 0, 0)}
    assert compare(TASK, gold, gold).counts == {}


def test_scores_for_criteria_are_compared_on_their_scale() -> None:
    scored = Text("t", "?", criteria=["fluency", "truth"])
    gold = {"text": "x", "scores": {"fluency": 5}}
    made = compare(scored, gold, {"text": "x", "scores": {"fluency": 4, "truth": 1}})
    assert made.scores["score_fluency"] == 0.75
    assert "score_truth" not in made.scores


def resampling() -> Resampling:
    return Resampling(np.random.default_rng(0), 0.95, 200)


def test_quotes_that_nobody_wrote_are_counted_against_those_that_stand() -> None:
    outcomes = [
        *(Annotation(str(i), "model", {"text": "x", "quotes": [span(0, 3)]}) for i in range(6)),
        Annotation(
            "6", "model", {"text": "x", "quotes": [span(0, 3), span(4, 5)]}, rejected=("quotes[1]: no", "other")
        ),
        Failure("7", "model", "not_found", "quotes[0]: no"),
        Failure("8", "model", "rate_limited", "later"),
        Abstention("9", "model", "N/A"),
    ]
    made = quote_metrics(outcomes, resampling=resampling()).estimates["quote_validity"]
    assert made.value == pytest.approx(8 / 10)
    assert made.low < 0.8 < made.high
    one_each = quote_metrics([*outcomes[:6], outcomes[7]], resampling=resampling()).estimates["quote_validity"]
    assert one_each.value == pytest.approx(6 / 7)
    assert quote_metrics(outcomes[8:], resampling=resampling()).estimates == {}


def test_an_assessment_reports_scores_quotes_and_their_validity() -> None:
    gold = {str(i): {"text": "two days", "quotes": [span(0, 3)]} for i in range(4)}
    outcomes: dict[str, Outcome] = {
        "0": Annotation("0", "model", gold["0"]),
        "1": Annotation("1", "model", {"text": "two weeks", "quotes": [span(5, 8)]}),
        "2": Failure("2", "model", "not_found", "quotes[0]: no"),
    }
    rng = np.random.default_rng(0)
    made = assess(GROUNDED, annotator="model", outcomes=outcomes, gold=gold, records=4, rng=rng, replicates=100).metrics
    assert (made["exact_match"].value, made["token_f1"].value) == (0.5, 0.75)
    assert (made["quotes_precision"].value, made["quotes_recall"].value) == (0.5, 0.5)
    assert made["quote_validity"].value == pytest.approx(2 / 3)


def test_texts_without_an_annotation_count_as_nothing_in_the_figures_over_all() -> None:
    gold: dict[str, Answer] = {str(at): {"text": text} for at, text in enumerate(("two days", "7", "one week", "9"))}
    outcomes: dict[str, Outcome] = {
        "0": Annotation("0", "model", {"text": "two weeks"}),
        "1": Annotation("1", "model", {"text": "It is 7."}),
        "2": Failure("2", "model", "refused", "no"),
    }
    rng = np.random.default_rng(0)

    def measured(given: dict[str, Outcome]) -> Mapping[str, Estimate]:
        made = assess(TASK, annotator="model", outcomes=given, gold=gold, records=4, rng=rng, replicates=200)
        return made.metrics

    made = measured(outcomes)
    assert made["token_f1"].value == pytest.approx((0.5 + 0.5) / 2)
    for name in ("token_f1", "rouge_l", "chrf"):
        assert made[f"{name}_all"].value == pytest.approx(made[name].value / 2)
        assert made[f"{name}_all"].n == 4
        assert made[f"{name}_all"].low <= made[f"{name}_all"].value <= made[f"{name}_all"].high
    # Only gold that is a number can be missed as one.
    assert (made["number_match"].value, made["number_match"].n) == (1, 1)
    assert (made["number_match_all"].value, made["number_match_all"].n) == (0.5, 2)
    assert (made["exact_match_lower_bound"].value, made["exact_match_upper_bound"].value) == (0, 0.5)
    whole = measured({key: Annotation(key, "model", each) for key, each in gold.items()})
    for name in ("token_f1", "rouge_l", "chrf", "number_match"):
        assert whole[f"{name}_all"].value == whole[name].value == 1
    assert whole["exact_match_lower_bound"].value == whole["exact_match_upper_bound"].value == 1


@pytest.mark.parametrize("name", gold_text.SETS)
def test_gold_is_right_about_itself_and_a_constant_or_shuffled_answer_is_not(name: str) -> None:
    path = path_of(name, "test")
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    these = task_for(name)
    gold = [these.accept(answer, record) for record, answer in records_and_gold(path)]
    assert all(compare(these, answer, answer).right for answer in gold)
    own = [compare(these, answer, answer).scores for answer in gold]
    assert {score for scores in own for score in scores.values()} == {1.0}
    constant = [compare(these, answer, gold[0]).right for answer in gold]
    assert np.mean(constant) == np.mean([answer["text"] == gold[0]["text"] for answer in gold]) < 0.05
    turned = [
        compare(these, answer, other).scores["token_f1"]
        for answer, other in zip(gold, [*gold[1:], gold[0]], strict=True)
    ]
    assert np.mean(turned) < 0.15
