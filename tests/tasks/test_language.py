"""The words around a record are in the language of the question."""

from collections.abc import Mapping
from typing import Any

import pytest

from postil.tasks.kinds import KINDS
from postil.tasks.language import language_of

LATIN: Mapping[str, Mapping[str, Any]] = {
    "classification": {"labels": ["PER.NAM", "ORG.NAM"]},
    "multilabel": {"labels": ["PER.NAM", "ORG.NAM"]},
    "attributes": {"fields": {"aspect": {"description": "what the guest writes about, if anything"}}},
    "rating": {"anchors": {"1": "not at all useful"}},
    "preference": {"criteria": ["helpfulness and honesty"]},
    "relations": {"labels": ["employed_by"], "span_labels": ["PER.NAM", "ORG.NAM"]},
    "roles": {"roles": ["ARG0", "ARG1", "ARGM-TMP"]},
    "timeline": {"relations": {"before": "the first is over before the second begins"}},
    "spans": {"labels": ["PER.NAM", "ORG.NAM", "GPE.NAM", "LOC.NOM"]},
    "text": {"criteria": ["helpfulness"]},
}


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (("标出实体", "PER.NAM ORG.NAM"), "zh"),
        (("Mark the entities.", "人名 地名"), "en"),
        (("", "人名 地名"), "zh"),
        (("?!", "12", "人名"), "zh"),
        (("1–5", "good bad"), "en"),
        (("Does the word 好 stand in it?",), "en"),
        (("这句话里 sarcasm 多吗？",), "zh"),
        (("",), "en"),
        ((), "en"),
    ],
)
def test_the_first_text_with_letters_decides(texts: tuple[str, ...], language: str) -> None:
    assert language_of(*texts) == language


@pytest.mark.parametrize("kind", KINDS)
def test_a_chinese_question_is_chinese_whatever_its_labels(kind: str) -> None:
    assert KINDS[kind]("t", "标出实体", **LATIN[kind]).language == "zh"
    assert KINDS[kind]("t", "Mark the entities.", **LATIN[kind]).language == "en"
    assert KINDS[kind]("t", "标出实体", **LATIN[kind], language="en").language == "en"


@pytest.mark.parametrize("kind", ["classification", "multilabel", "spans", "relations", "roles"])
def test_a_question_without_letters_is_in_the_language_of_its_labels(kind: str) -> None:
    labels = {"roles" if kind == "roles" else "labels": ["好评", "差评"]}
    assert KINDS[kind]("t", "?", **labels).language == "zh"
    assert KINDS[kind]("t", "Which?", **labels).language == "en"
