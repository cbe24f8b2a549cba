"""Prompts that a server cut in silence are found by the tokens it says it read; whole ones raise no alarm (A11).

The server's tokenizer is unknown to the engine, so these are several: words and marks, pieces of words, bytes.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postil.engines._cut_prompts import PromptLengths
from postil.types import Message, Usage

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = (
    *("classification/ag_news/test.jsonl", "classification/banking77/test.jsonl"),
    *("classification/chnsenticorp_hotel_zh/test.jsonl", "classification/tnews_zh/test.jsonl"),
    *("grounded_qa/xquad_en/test.jsonl", "hallucination/halueval_general/test.jsonl"),
    *("preference/hh_rlhf_harmless/test.jsonl", "reasoning/gsm8k/test.jsonl"),
)
SYSTEM = Message("system", "Decide what the text is about, and answer with one of the labels. " * 3)
_OVERHEAD = 60
_LEARNING = 48

Tokenizer = Callable[[str], int]
TOKENIZERS: dict[str, Tokenizer] = {
    "words": lambda text: len(re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]", text)),
    "pieces": lambda text: len(re.findall(r"\w{1,4}|\S", text)),
    "bytes": lambda text: len(text.encode()) * 2 // 7,
}


def prompt(text: str) -> tuple[Message, Message]:
    return SYSTEM, Message("user", text)


def texts_of(name: str) -> list[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(800), lines, strict=False)]
    texts = [" ".join(value for value in row.values() if isinstance(value, str)) for row in rows]
    random.Random(0).shuffle(texts)
    return texts


def written(number: int, seed: int = 0) -> Iterator[str]:
    """Yield texts that nobody wrote: words of all lengths, in sentences, with numbers and marks."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    for _ in range(number):
        words = ["".join(rng.choices(letters, k=rng.choice((2, 3, 4, 5, 7, 9)))) for _ in range(rng.randrange(20, 400))]
        yield " ".join(f"{word}," if rng.random() < 0.1 else word for word in words) + f" {rng.randrange(10**4)}."


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_planted_cuts_are_found_and_whole_prompts_are_let_through(tokenizer: str) -> None:
    count, rng = TOKENIZERS[tokenizer], random.Random(1)
    alarms = whole = found = cut = 0
    for name in SETS:
        lengths = PromptLengths()
        for place, text in enumerate(texts_of(name)):
            read = count(text) + _OVERHEAD
            share = rng.uniform(0.21, 0.9) if rng.random() < 0.1 else 0.0
            said = lengths.is_cut(prompt(text), Usage(int(read * (1 - share)), 1))
            if place >= _LEARNING:
                alarms, whole = alarms + (said and not share), whole + (not share)
                found, cut = found + (said and share > 0), cut + (share > 0)
    assert cut > 300
    assert found >= 0.998 * cut
    assert alarms <= 0.001 * whole


def test_nothing_is_judged_before_enough_was_seen() -> None:
    lengths = PromptLengths()
    assert not any(lengths.is_cut(prompt(text), Usage(3, 1)) for text in written(_LEARNING))


@pytest.mark.parametrize("most", [300, 500])
def test_cuts_at_the_end_of_a_context_are_found_though_many_of_the_first_prompts_were_cut(most: int) -> None:
    """As servers cut: to what their context holds, so that all long prompts have the same number of tokens."""
    count, lengths = TOKENIZERS["pieces"], PromptLengths()
    missed = alarms = cut = 0
    for place, text in enumerate(written(600)):
        read = count(text) + _OVERHEAD
        said = lengths.is_cut(prompt(text), Usage(min(read, most), 1))
        if place >= _LEARNING:
            cut += most < 0.8 * read
            missed += most < 0.8 * read and not said
            alarms += read <= most and said
    assert cut > 50
    assert (missed, alarms) == (0, 0)


def test_it_is_found_though_every_prompt_was_cut_from_the_beginning() -> None:
    count, lengths = TOKENIZERS["pieces"], PromptLengths()
    long = [text * 3 for text in written(300) if count(text) > 150]
    said = [lengths.is_cut(prompt(text), Usage(400, 1)) for text in long]
    sizes = [count(text) for text in long]
    shortest = min(sizes[:_LEARNING])
    judged = [(size, each) for size, each in zip(sizes, said, strict=True)][_LEARNING:]
    assert len(judged) > 50
    assert all(each for size, each in judged if size > 1.5 * shortest)


def test_a_larger_context_is_noticed() -> None:
    count, lengths = TOKENIZERS["pieces"], PromptLengths()
    texts = [text * 3 for text in written(300) if count(text) > 150]
    for text in texts[:_LEARNING]:
        lengths.is_cut(prompt(text), Usage(400, 1))
    later = [lengths.is_cut(prompt(text), Usage(count(text) + _OVERHEAD, 1)) for text in texts[_LEARNING:]]
    assert not any(later)


@pytest.mark.parametrize("apart", [False, True])
def test_tokens_from_a_cache_are_counted_as_the_server_counts_them(apart: bool) -> None:
    count, lengths, rng = TOKENIZERS["pieces"], PromptLengths(), random.Random(3)
    said: list[tuple[bool, bool]] = []
    for text in written(400):
        read, cut = count(text) + _OVERHEAD, rng.random() < 0.2
        read = int(0.7 * read) if cut else read
        cached = min(read, rng.choice((0, 64, 96)))
        usage = Usage(read - cached, 1, cached) if apart else Usage(read, 1, cached)
        said.append((cut, lengths.is_cut(prompt(text), usage)))
    judged = said[_LEARNING:]
    assert all(found for cut, found in judged if cut)
    assert not any(found for cut, found in judged if not cut)


def test_what_is_repeated_again_and_again_raises_no_alarm() -> None:
    count, lengths = TOKENIZERS["words"], PromptLengths()
    for text in written(200):
        lengths.is_cut(prompt(text), Usage(count(text) + _OVERHEAD, 1))
    for odd in ("=" * 4000, " " * 4000, ":-) " * 700, "ab" * 3000, "\n    " * 900):
        few = len(odd) // 24 + _OVERHEAD
        assert not lengths.is_cut(prompt("A line of text. " + odd), Usage(few, 1)), odd[:4]


def test_what_is_said_follows_from_the_replies_alone() -> None:
    count = TOKENIZERS["pieces"]
    replies = [(prompt(text), Usage(count(text) + _OVERHEAD, 1)) for text in written(300)]
    first, second = PromptLengths(), PromptLengths()
    assert [first.is_cut(*each) for each in replies] == [second.is_cut(*each) for each in replies]
