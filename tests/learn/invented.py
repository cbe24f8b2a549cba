"""Invented texts whose label a reader could tell: a few telling words among many that tell nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from postil.types import Demonstration, Record

TELLING: Mapping[str, Mapping[str, Sequence[str]]] = {
    "en": {
        "sports": ["match", "goal", "referee", "league", "striker", "stadium", "coach", "trophy"],
        "kitchen": ["oven", "flour", "recipe", "butter", "pan", "simmer", "spoon", "garlic"],
        "garden": ["soil", "rose", "prune", "seedling", "compost", "hedge", "lawn", "watering"],
    },
    "zh": {
        "体育": ["比赛", "进球", "裁判", "联赛", "前锋", "球场", "教练", "奖杯"],
        "厨房": ["烤箱", "面粉", "菜谱", "黄油", "炒锅", "慢炖", "勺子", "大蒜"],
        "花园": ["土壤", "玫瑰", "修剪", "幼苗", "堆肥", "树篱", "草坪", "浇水"],
    },
}
PLAIN: Mapping[str, Sequence[str]] = {
    "en": [
        "today",
        "people",
        "often",
        "a",
        "lot",
        "we",
        "then",
        "about",
        "where",
        "old",
        "small",
        "there",
        "seems",
        "another",
        "morning",
        "friend",
    ],
    "zh": [
        "今天",
        "大家",
        "常常",
        "很多",
        "我们",
        "然后",
        "关于",
        "哪里",
        "旧的",
        "小的",
        "那里",
        "似乎",
        "另外",
        "早上",
        "朋友",
        "可能",
    ],
}


def labels(language: str = "en") -> tuple[str, ...]:
    return tuple(TELLING[language])


def invent(n: int, *, rng: np.random.Generator, language: str = "en", telling: int = 3) -> tuple[list[str], list[str]]:
    """Return texts and their gold labels, in turn."""
    between = " " if language == "en" else ""
    gold = [labels(language)[at % 3] for at in range(n)]
    texts: list[str] = []
    for label in gold:
        words = [*rng.choice(TELLING[language][label], telling), *rng.choice(PLAIN[language], 6)]
        texts.append(between.join(rng.permutation(words)))
    return texts, gold


def mistaken(gold: Sequence[str], share: float, *, rng: np.random.Generator) -> list[str]:
    """Return labels of which this share is wrong, at random."""
    names = sorted(set(gold))
    wrong = set(rng.permutation(len(gold))[: round(share * len(gold))].tolist())
    return [
        names[(names.index(label) + int(rng.integers(1, len(names)))) % len(names)] if at in wrong else label
        for at, label in enumerate(gold)
    ]


def demonstrations(texts: Sequence[str], gold: Sequence[str]) -> list[Demonstration]:
    return [
        Demonstration(Record(f"d{at:03}", {"text": text}), {"label": label})
        for at, (text, label) in enumerate(zip(texts, gold, strict=True))
    ]
