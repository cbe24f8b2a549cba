"""What `benchmarks.kinds` measures: data sets of every kind, the task that each was annotated for, and its figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.multilabel import MultiLabel
from postil.tasks.spans import Spans
from postil.types import Answer, Record
from tests.tasks import (
    gold_attributes,
    gold_labels,
    gold_preference,
    gold_ratings,
    gold_relations,
    gold_roles,
    gold_spans,
    gold_text,
    gold_timeline,
)

Pairs = list[tuple[Record, Answer]]


@dataclass(frozen=True)
class Subject:
    """A data set and what is asked about it."""

    set: str
    folder: str
    language: str
    metrics: tuple[str, ...]
    """The figures of the table."""
    pairs: Callable[[Path], Pairs]
    """From a file of the set to records with their gold."""
    task: Callable[[Pairs], Task]
    """From the solved records to the task: label sets are those of the part that may be shown."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More settings of the annotator."""


def _topics(solved: Pairs) -> Classification:
    labels = sorted({answer["label"] for _, answer in solved})
    return Classification("tnews", "这条新闻标题属于哪个主题？", labels=labels)


def _emotions(solved: Pairs) -> MultiLabel:
    labels = sorted({label for _, answer in solved for label in answer["labels"]})
    return MultiLabel("goemotions", "Which emotions does the writer express?", labels=labels, at_least=1)


def _roles(solved: Pairs) -> Task:
    return gold_roles.task_for("up_ewt", gold_roles.roles_of(answer for _, answer in solved), given=True)


_SENTIMENT: Final = Classification(
    "sst2", "Is this sentence from a film review positive or negative?", labels=["negative", "positive"]
)
_HOTEL: Final = Classification(
    "hotel", "这条酒店评论是正面的还是负面的？", labels={"negative": "负面", "positive": "正面"}
)
_WNUT: Final = Spans(
    "wnut17",
    "Mark the named entities in the text.",
    labels={
        "person": "a named human being or character",
        "location": "a named place",
        "corporation": "a named company",
        "group": "a named band, team or organisation that is no company",
        "product": "a named product",
        "creative-work": "a named song, film, book or show",
    },
)
_WEIBO: Final = Spans(
    "weibo",
    "标出微博中提到的人、地、组织。",
    labels={
        "PER.NAM": "人名",
        "PER.NOM": "泛指的人，如“老师”“朋友”",
        "ORG.NAM": "机构名",
        "ORG.NOM": "泛指的机构，如“公司”",
        "GPE.NAM": "国家、城市等行政区名",
        "GPE.NOM": "泛指的行政区，如“国家”",
        "LOC.NAM": "其他地名",
        "LOC.NOM": "泛指的地点，如“山上”",
    },
)
_LABEL: Final = ("accuracy", "macro_f1")
_SPANS: Final = ("strict_f1", "type_f1")

_ALL: Final = (
    Subject("sst2", "classification", "en", _LABEL, gold_labels.records_and_gold, lambda _: _SENTIMENT),
    Subject("chnsenticorp_hotel_zh", "classification", "zh", _LABEL, gold_labels.records_and_gold, lambda _: _HOTEL),
    Subject("tnews_zh", "classification", "zh", _LABEL, gold_labels.records_and_gold, _topics),
    Subject("goemotions", "multi_label", "en", ("micro_f1", "jaccard"), gold_labels.records_and_gold, _emotions),
    Subject(
        "vader_tweets",
        "ratings",
        "en",
        ("mae", "spearman"),
        gold_ratings.records_and_gold,
        lambda _: gold_ratings.task_for("vader_tweets"),
    ),
    Subject(
        "restaurant8k_slots",
        "entities",
        "en",
        ("exact_match", "fields_f1"),
        gold_attributes.records_and_gold,
        lambda _: gold_attributes.BOOKING,
    ),
    Subject("wnut17", "entities", "en", _SPANS, gold_spans.records_and_gold, lambda _: _WNUT),
    Subject("weibo_ner_zh", "entities", "zh", _SPANS, gold_spans.records_and_gold, lambda _: _WEIBO),
    *(
        Subject(
            name,
            "relations",
            "zh" if name.endswith("_zh") else "en",
            ("strict_f1",),
            gold_relations.records_and_gold,
            lambda solved, name=name: gold_relations.task_for(name, solved),
        )
        for name in ("semeval2010_task8", "sanwen_zh", "conll04_joint")
    ),
    Subject("up_ewt", "srl", "en", ("arguments_f1",), gold_roles.by_predicate, _roles),
    Subject(
        "uds_time",
        "temporal",
        "en",
        ("exact_match", "temporal_f1"),
        gold_timeline.records_and_gold,
        lambda _: gold_timeline.task_for("uds_time"),
    ),
    *(
        Subject(
            name,
            "preference",
            "en",
            ("accuracy", "consistency_under_swap"),
            gold_preference.records_and_gold,
            lambda _, name=name: gold_preference.task_for(name),
        )
        for name in ("llmbar", "pandalm_testset")
    ),
    *(
        Subject(
            name,
            "grounded_qa",
            language,
            ("exact_match", "token_f1"),
            gold_text.records_and_gold,
            lambda _, name=name: gold_text.task_for(name),
        )
        for name, language in (("xquad_en", "en"), ("xquad_zh", "zh"))
    ),
    Subject(
        "gsm8k", "reasoning", "en", ("exact_match",), gold_text.records_and_gold, lambda _: gold_text.task_for("gsm8k")
    ),
)

SUBJECTS: Final[Mapping[str, Subject]] = {subject.set: subject for subject in _ALL}
