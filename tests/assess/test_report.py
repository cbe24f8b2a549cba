import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from postil.assess.report import Doubtful, Expense, OutcomeCounts, Question, Report, headline, render_report
from postil.errors import MissingExtraError
from postil.types import Assessment, Confidence, Estimate, ReliabilityBin

BLUE, ORANGE, GREY = "#1d5b8f", "#b4540a", "#5c6670"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags balance; keeps tags, ids, and the text by the nearest element with a class or a tag of note."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.svg_words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        (self.svg_words if "svg" in self.open else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def estimate(value: float, half: float = 0.05, n: int = 200, method: str = "bootstrap, 2,000 draws") -> Estimate:
    return Estimate(value, value - half, value + half, 0.95, n, method)


def assessment(annotator: str = "a1", accuracy: float = 0.843) -> Assessment:
    return Assessment(
        task="sentiment",
        kind="classification",
        annotator=annotator,
        records=800,
        gold=200,
        coverage=Estimate(1.0, 0.982, 1.0, 0.95, 200, "exact"),
        metrics={
            "accuracy": Estimate(accuracy, accuracy - 0.058, accuracy + 0.047, 0.95, 200, "Clopper-Pearson"),
            "macro_f1": estimate(0.831),
            "ece": estimate(0.071, 0.03),
        },
        per_label={"good": {"precision": estimate(0.9), "f1": estimate(0.85)}, "bad": {"recall": estimate(0.7)}},
        labels=("good", "bad"),
        confusion=((104, 14), (17, 65)),
        reliability=(ReliabilityBin(0.6, estimate(0.55, 0.1, 40)), ReliabilityBin(0.9, estimate(0.88, 0.06, 160))),
        notes=("Confidence was corrected for the prior.",),
    )


def report() -> Report:
    return Report(
        title="Reviews",
        question=Question("sentiment", "classification", "What does the writer think?", ("good", "bad")),
        outcomes=OutcomeCounts(800, 793, 2, 5, 0, {"unreadable": 4, "refused": 1}),
        expense=Expense(1.25, "2026-11-01", 90_000, 800, 60_000, 802, 2, 75.0),
        generated_at="2026-11-22 16:40 UTC",
        version="0.1.0",
        assessments=(assessment(),),
        names={"a1": "small model"},
        distribution={"good": 500, "bad": 293},
        confidences=tuple(Confidence(value, "logprob") for value in (0.51, 0.52, 0.9)),
        doubtful=(Doubtful("r7", "not bad at all", "bad", "confidence near one half", 0.51, "good"),),
        provenance=(("Model", "gemma"), ("Template", "classify.v1")),
    )


@cache
def plain_html() -> str:
    return render_report(report())


def svg(html: str, key: str) -> str:
    start = html.index(f'<svg class="chart" role="img" aria-labelledby="{key}-title')
    return html[start : html.index("</svg>", start) + 6]


def chart_texts(html: str, key: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg(html, key))


def marks(html: str, key: str, role: str, colour: str = "") -> int:
    """Count the shapes of one kind of mark in a chart (axes are drawn as other roles)."""
    groups = re.findall(rf'<g class="mark-{role} role-mark[^>]*>(.*?)</g>', svg(html, key), re.DOTALL)
    return sum(len(re.findall(rf"<(?:path|line|rect|text)[^>]*{re.escape(colour)}[^>]*>", group)) for group in groups)


def test_the_headline_says_how_many_and_how_right() -> None:
    plain = replace(report(), outcomes=OutcomeCounts(800, 800))
    assert headline(plain) == (
        "800 of 800 records labelled. "
        "Right on 84.3 % of 200 gold records never shown to it (95 % interval 78.5 % to 89.0 %)."
    )
    assert headline(plain) in Page(render_report(plain)).text


def test_the_headline_names_every_other_end() -> None:
    outcomes = OutcomeCounts(1_200, 1_190, 3, 5, 2)
    assert headline(replace(report(), outcomes=outcomes)).startswith(
        "1,190 of 1,200 records labelled; 3 abstained, 5 failed, 2 pending."
    )


def test_a_rating_leads_with_its_distance() -> None:
    rated = replace(assessment(), metrics={"spearman": estimate(0.7), "mae": estimate(0.42, 0.1, 1)})
    text = headline(replace(report(), assessments=(rated,)))
    assert "Mean absolute error 0.420 on 1 gold record never shown to it" in text
    assert "0.320 to 0.520" in text


def test_without_gold_accuracy_is_unknown_and_no_percentage_stands_for_it() -> None:
    bare = Assessment("t", "classification", "a1", 800, 0, None)
    for assessments in ((), (bare,)):
        html = render_report(replace(report(), assessments=assessments, distribution={}, outcomes=OutcomeCounts(9, 9)))
        text = Page(html).text
        assert "No gold: accuracy unknown." in text
        assert not re.search(r"\d\s?%", text)
        assert 'class="bar"' not in html


def test_gold_without_annotations_is_said() -> None:
    unmeasured = Assessment("t", "classification", "a1", 800, 40, None)
    assert "none of the 40 gold records has an annotation" in headline(replace(report(), assessments=(unmeasured,)))


def test_an_unknown_price_is_said_and_never_a_number() -> None:
    text = Page(render_report(replace(report(), expense=Expense(None)))).text
    assert "Cost unknown" in text
    assert "USD" not in text


def test_cost_comes_with_the_date_of_its_prices() -> None:
    text = Page(plain_html()).text
    assert "1.25 USD" in text
    assert "1.58 USD per 1,000 labels, prices of 2026-11-01" in text
    assert "0.00 USD nothing was billed" in Page(render_report(replace(report(), expense=Expense(0.0)))).text
    lost = replace(report(), expense=Expense(0.0, unseen_usd=0.0004))
    assert "up to 0.00040 USD more for replies that were lost on the way" in Page(render_report(lost)).text
    tiny = Page(render_report(replace(report(), expense=Expense(0.000123, "2026-11-01")))).text
    assert "0.00012 USD" in tiny


def test_counts_that_do_not_add_up_are_pointed_out() -> None:
    wrong = Page(render_report(replace(report(), outcomes=OutcomeCounts(800, 700)))).text
    assert "These counts do not add up: 700 outcomes for 800 records" in wrong
    assert "do not add up" not in Page(plain_html()).text


def test_the_page_is_whole_and_fetches_and_runs_nothing() -> None:
    html = plain_html()
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.tags["script"] == 0
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert not [
        name for _, name, _ in page.attributes if name in {"src", "href", "xlink:href"} or name.startswith("on")
    ]
    policies = [value for tag, name, value in page.attributes if tag == "meta" and name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in policies


def test_ids_are_unique_and_every_reference_has_its_target() -> None:
    two = replace(report(), assessments=(assessment(), assessment("a2", 0.8)))
    page = Page(render_report(two))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    named = " ".join(value for _, name, value in page.attributes if name == "aria-labelledby").split()
    assert set(named) <= set(ids)


def test_figures_are_named_and_tables_have_scopes() -> None:
    html = plain_html()
    page = Page(html)
    charts = [value for tag, name, value in page.attributes if tag == "svg" and name == "class"]
    assert len(charts) == 6
    assert html.count("<desc id=") == 6
    headers = re.findall(r"<th\b[^>]*>", html)
    assert headers
    assert all("scope=" in one for one in headers)
    assert page.tags["h1"] == 1
    assert page.tags["figcaption"] == page.tags["figure"]


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_report(report()).encode() == plain_html().encode()


def test_the_interval_plot_has_a_mark_and_a_whisker_for_each_estimate() -> None:
    one = plain_html()
    assert marks(one, "intervals", "symbol") == marks(one, "intervals", "rule") == 2  # calibration error is no share
    two = render_report(replace(report(), assessments=(assessment(), assessment("a2", 0.8))))
    assert marks(two, "intervals", "symbol", BLUE) == marks(two, "intervals", "symbol", ORANGE) == 2
    assert {"Accuracy", "Macro-F1"} <= set(chart_texts(two, "intervals"))


def test_the_interval_plot_moves_with_the_estimates() -> None:
    def place(accuracy: float) -> float:
        html = render_report(replace(report(), assessments=(assessment(accuracy=accuracy),)))
        groups = re.findall(r'<g class="mark-symbol role-mark.*?</g>', svg(html, "intervals"), re.DOTALL)
        return float(re.findall(r"translate\(([\d.]+),", groups[0])[0])

    assert place(0.9) - place(0.4) == pytest.approx(0.5 * 500, abs=0.6)


def test_the_confusion_shows_every_count_in_its_cell() -> None:
    html = plain_html()
    assert marks(html, "confusion-0", "rect") == 4
    assert [text for text in chart_texts(html, "confusion-0") if text.isdigit()] == ["104", "14", "17", "65"]
    other = replace(assessment(), confusion=((1, 2), (3, 4)))
    changed = render_report(replace(report(), assessments=(other,)))
    assert [text for text in chart_texts(changed, "confusion-0") if text.isdigit()] == ["1", "2", "3", "4"]
    assert "5 of 10 gold records lie on the diagonal" in Page(changed).text


def test_the_reliability_diagram_has_a_mark_for_each_bin() -> None:
    html = plain_html()
    assert marks(html, "reliability-0", "symbol") == marks(html, "reliability-0", "rule") == 2
    fewer = replace(assessment(), reliability=assessment().reliability[:1])
    assert marks(render_report(replace(report(), assessments=(fewer,))), "reliability-0", "symbol") == 1


def test_the_histogram_has_a_bar_for_each_occupied_bin_and_keeps_kinds_apart() -> None:
    html = plain_html()
    assert marks(html, "histogram-logprob", "rect") == 2
    mixed = (*report().confidences, Confidence(0.1, "verbal"), Confidence(1.0, "verbal"), Confidence(0.0, "verbal"))
    changed = render_report(replace(report(), confidences=mixed))
    assert marks(changed, "histogram-logprob", "rect") == 2
    assert marks(changed, "histogram-verbal", "rect") == 3


def test_missing_confidence_is_counted_and_never_drawn() -> None:
    assert "790 of 793 labels came without a confidence" in Page(plain_html()).text
    none = render_report(replace(report(), confidences=()))
    assert "793 of 793 labels came without a confidence" in Page(none).text
    assert "histogram-" not in none


def test_labels_and_failures_are_drawn_with_their_counts() -> None:
    html = plain_html()
    assert set(chart_texts(html, "distribution")) == {"500", "293", "good", "bad"}
    assert marks(html, "distribution", "rect", BLUE) == 2
    assert marks(html, "failures", "rect", GREY) == 2
    assert {"unreadable", "4", "refused", "1"} == set(chart_texts(html, "failures"))
    clean = render_report(replace(report(), outcomes=OutcomeCounts(793, 793)))
    assert "No record failed." in Page(clean).text


def test_seventy_seven_labels_stay_legible() -> None:
    names = tuple(f"intent_number_{i:02}_that_is_long_enough_to_clip" for i in range(77))
    counts = [[0] * 77 for _ in range(77)]
    for i in range(77):
        counts[i][i] = 10
    counts[3][5], counts[8][1] = 9, 7
    for i in range(30):
        counts[i][76 - i] += 1
    many = replace(
        assessment(),
        labels=names,
        confusion=tuple(map(tuple, counts)),
        per_label={name: {"f1": estimate(i / 100)} for i, name in enumerate(reversed(names))},
    )
    given = dict.fromkeys(names, 3)
    html = render_report(replace(report(), assessments=(many,), distribution=given))
    text = Page(html).text
    assert 'aria-labelledby="confusion-0-title' not in html
    assert "770 of 816 gold records lie on the diagonal" in text
    first = html.index("Of this gold label")
    assert html.index(names[3], first) < html.index(names[8], first)
    assert "The 20 most frequent of 32 kinds of error" in text
    assert "The 30 labels with the lowest F1 of 77" in text
    assert marks(html, "distribution", "rect") == 30
    assert "47 more, together 141" in text
    assert len(set(chart_texts(html, "distribution"))) == 31  # thirty names that clipping must not merge, one count


def test_a_figure_undefined_for_a_label_is_said() -> None:
    text = Page(plain_html()).text
    assert "good 118 0.900 0.850 to 0.950 undefined 0.850 0.800 to 0.900" in text
    assert "bad 82 undefined 0.700 0.650 to 0.750 undefined" in text


def test_one_label_and_empty_metrics_render() -> None:
    single = replace(assessment(), labels=("ok",), confusion=((5,),), per_label={}, metrics={})
    html = render_report(replace(report(), assessments=(single,), distribution={"ok": 5}))
    Page(html)
    assert marks(html, "confusion-0", "rect") == 1
    assert "intervals-title" not in html


def test_undefined_numbers_are_said_and_not_drawn() -> None:
    nan = float("nan")
    odd = replace(assessment(), metrics={"macro_f1": Estimate(nan, nan, nan, 0.95, 3, "m"), "made_up": estimate(7.0)})
    html = render_report(replace(report(), assessments=(odd,)))
    text = Page(html).text
    assert "undefined" in text
    assert "Made up" in text
    assert "nan" not in text
    assert "intervals-title" not in html


def test_every_method_is_told() -> None:
    text = Page(plain_html()).text
    told = text[text.index("How every number was made") :]
    assert "Coverage exact" in told
    assert "Accuracy Clopper-Pearson" in told
    assert "Macro-F1, Calibration error bootstrap, 2,000 draws" in told
    assert "Template classify.v1" in told


def test_doubtful_records_stand_in_their_order_twenty_at_most() -> None:
    some = tuple(Doubtful(f"id{i:02}", f"text {i:02}", "good", "why", 0.5) for i in range(25))
    text = Page(render_report(replace(report(), doubtful=some))).text
    assert re.findall(r"\btext (\d\d)\b", text) == [f"{i:02}" for i in range(20)]
    assert "The 20 most doubtful records" in text
    assert "gold says good" in Page(plain_html()).text


def test_annotators_stand_side_by_side_under_their_names() -> None:
    two = replace(report(), assessments=(assessment(), assessment("a2", 0.8)), names={"a1": "teacher", "a2": "student"})
    text = Page(render_report(two)).text
    assert "Metric teacher student" in text
    assert re.search(r"Accuracy how .*?84\.3 % 78\.5 % to 89\.0 % n = 200 80\.0 % 74\.2 % to 84\.7 % n = 200", text)


def test_annotators_of_one_name_are_kept_apart() -> None:
    twins = replace(report(), assessments=(assessment(), assessment("a2", 0.8)), names={"a1": "same", "a2": "same"})
    assert marks(render_report(twins), "intervals", "symbol", ORANGE) == 2


HOSTILE = (
    "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }}{% raw %}]]>\x00\ud800\u202e</svg></style>"
)


def hostile_reports() -> Iterator[tuple[str, Report]]:
    base = report()
    first = base.assessments[0]
    yield "title", replace(base, title=HOSTILE)
    yield "question", replace(base, question=Question(HOSTILE, HOSTILE, HOSTILE, (HOSTILE, "ok")))
    yield "failures", replace(base, outcomes=replace(base.outcomes, failures={HOSTILE: 5}))
    yield "expense", replace(base, expense=replace(base.expense, price_date=HOSTILE))
    yield "made", replace(base, generated_at=HOSTILE, version=HOSTILE)
    yield "names", replace(base, names={"a1": HOSTILE})
    yield "annotator", replace(base, names={}, assessments=(replace(first, annotator=HOSTILE),))
    yield "distribution", replace(base, distribution={HOSTILE: 3, "ok": 1})
    yield "doubtful", replace(base, doubtful=(Doubtful(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.5, HOSTILE),))
    yield "provenance", replace(base, provenance=((HOSTILE, HOSTILE),))
    yield "notes", replace(base, assessments=(replace(first, notes=(HOSTILE,)),))
    yield "metrics", replace(base, assessments=(replace(first, metrics={HOSTILE: estimate(0.5, method=HOSTILE)}),))
    yield (
        "labels",
        replace(
            base, assessments=(replace(first, labels=(HOSTILE, "ok"), per_label={HOSTILE: {"f1": estimate(0.5)}}),)
        ),
    )


@pytest.mark.parametrize(("field", "one"), [pytest.param(*pair, id=pair[0]) for pair in hostile_reports()])
def test_hostile_text_appears_only_escaped(field: str, one: Report) -> None:
    html = render_report(one)
    page = Page(html)
    plain = Page(plain_html())
    assert "<script" not in html
    assert "<img" not in html
    assert set(page.tags) == set(plain.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in html.lower()
    assert "\x00" not in html
    assert "\u202e" not in html
    html.encode("utf-8")
    if field not in {"failures", "expense", "made", "names", "annotator", "distribution"}:  # those are clipped before
        assert "{{ 7*7 }}" in "".join(page.words + page.svg_words)


def test_unprintable_characters_are_shown_by_their_number() -> None:
    text = Page(render_report(replace(report(), title="a\x00b\ud800c\u202ed"))).text
    assert "a⟨U+0000⟩b⟨U+D800⟩c⟨U+202E⟩d" in text


def test_data_is_isolated_from_the_direction_around_it() -> None:
    html = render_report(replace(report(), title="שלום"))
    assert "<h1><bdi>שלום</bdi></h1>" in html


def test_very_long_texts_are_clipped_and_said_to_be() -> None:
    long = "x" * 10_000_000
    html = render_report(
        replace(
            report(),
            title=long,
            question=Question(long, "classification", long, (long,)),
            doubtful=(Doubtful(long, long, long, long),),
            provenance=((long, long),),
            distribution={long: 1, long + "y": 2},
        )
    )
    assert len(html) < 200_000
    assert "clipped, 10,000,000 characters in all" in Page(html).text
    assert len([text for text in chart_texts(html, "distribution") if "x" in text]) == 2


def test_chinese_works_as_english_does() -> None:
    labels = ("正面", "负面")
    chinese = replace(assessment(), labels=labels, per_label={"正面": {"f1": estimate(0.8)}})
    html = render_report(
        replace(
            report(),
            title="酒店评论",
            question=Question("情感", "classification", "作者喜欢吗？", labels),
            assessments=(chinese,),
            names={"a1": "小模型"},
            distribution={"正面": 5, "负面": 3},
        )
    )
    text = Page(html).text
    assert '<bdi lang="zh">酒店评论</bdi>' in html
    assert set(labels) <= set(chart_texts(html, "confusion-0"))
    assert set(labels) <= set(chart_texts(html, "distribution"))
    assert "作者喜欢吗？" in text
    assert "小模型" in text


@pytest.mark.parametrize("module", ["altair", "vl_convert"])
def test_without_the_extra_the_error_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"postil\[report\]"):
        render_report(report())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: replace(one, expense=replace(one.expense, seconds=3_725.0)), "1 h 2 min"),
        (lambda one: replace(one, expense=replace(one.expense, seconds=0.25)), "0.2 s"),
        (lambda one: replace(one, expense=replace(one.expense, resent=0)), "none sent again"),
        (lambda one: replace(one, provenance=(), assessments=()), "No provenance was handed to this report."),
        (lambda one: replace(one, distribution={}), "The labels given were not counted."),
    ],
)
def test_plain_facts_are_told_in_words(change: Callable[[Report], Report], expected: str) -> None:
    assert expected in Page(render_report(change(report()))).text


def test_an_answer_that_counts_as_right_need_not_read_like_gold() -> None:
    rated = Doubtful("r1", "fine", "1", "close", 0.6, "1.25", right=True)
    wrong = replace(rated, id="r2", gold="3.5", right=False)
    text = Page(render_report(replace(report(), doubtful=(rated, wrong)))).text
    assert "✓ gold says 1.25" in text
    assert "✗ gold says 3.5" in text


def test_a_long_id_can_be_looked_up() -> None:
    long = "document-" * 12
    assert long in Page(render_report(replace(report(), doubtful=(Doubtful(long, "a", "b", "c"),)))).text


@pytest.mark.parametrize(
    ("kind", "labels", "says"),
    [
        ("text", (), "The answers are texts: there are no labels to count."),
        ("attributes", ("food",), "How often each field had a value."),
        ("spans", ("person",), "How often each label was given."),
    ],
)
def test_what_was_answered_is_told_as_the_kind_has_it(kind: str, labels: tuple[str, ...], says: str) -> None:
    counted = dict.fromkeys(labels, 3)
    asked = replace(report(), question=Question("t", kind, "What?", labels), distribution=counted)
    assert says in Page(render_report(asked)).text


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("pair_accuracy", "Right on the pair"),
        ("accuracy/first_name", "Right in first_name"),
        ("rouge_l", "ROUGE-L"),
        ("raters_alpha", "Krippendorff’s α of the raters"),
        ("placed_exactly", "Placed letter by letter"),
        ("token_f1_all", "Token F1, missing counted as nothing found"),
        ("rouge_l_all", "ROUGE-L, missing counted as nothing"),
        ("number_match_all", "Right number, missing counted as wrong"),
        ("unlabelled_f1_all", "Unlabelled F1, missing counted as nothing found"),
    ],
)
def test_metrics_of_structures_have_names(metric: str, title: str) -> None:
    measured = replace(assessment(), metrics={metric: estimate(0.8)})
    assert title in Page(render_report(replace(report(), assessments=(measured,)))).text


@pytest.mark.parametrize(("numbers", "headline_"), [(200, "Right number"), (12, "Token F1")])
def test_texts_that_are_numbers_lead_with_how_many_are_right(numbers: int, headline_: str) -> None:
    metrics = {"token_f1": estimate(0.7), "number_match": estimate(0.8, n=numbers)}
    assert headline_ in headline(replace(report(), assessments=(replace(assessment(), metrics=metrics),)))
