"""The embedded model, the real one: what it says about labels is exact, and odd requests end with a name.

Few requests and one thread: llama.cpp's threads wait by spinning, which is slow where other work goes on.
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from postil.engines.local import LocalEngine, answer_lead, plain_prompt
from postil.engines.model_file import packaged_model
from postil.errors import ContextExceeded, RecordRejected, SettingsError
from postil.testing import check_engine
from postil.types import Message, Request

pytest.importorskip("xllamacpp", reason='the extra "local" is not installed')

QUESTION = "Review: The film was a waste of time.\nIs the review positive or negative?\nAnswer:"


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    made = LocalEngine(context_tokens=512, threads=1)
    yield made
    asyncio.run(made.aclose())


def request(text: str, *choices: str, max_tokens: int = 8, schema: dict[str, Any] | None = None) -> Request:
    return Request((Message("user", text),), max_tokens, choices=choices, schema=schema)


async def scored(engine: LocalEngine, text: str, *choices: str) -> tuple[float, ...]:
    completion = await engine.complete(request(text, *choices))
    found = completion.choice_probabilities
    assert found is not None
    assert len(found) == len(choices)
    assert math.fsum(found) == pytest.approx(1)
    assert completion.text == choices[found.index(max(found))]
    return found


class Raw:
    """The unconstrained model: probabilities of any next token, straight from llama.cpp.

    It goes past the engine to the server inside: what the engine says is checked against something else.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self._server = engine._started()  # pyright: ignore[reportPrivateUsage]

    def tokens(self, text: str, *, start: bool = False) -> list[int]:
        return self._server.tokens(text, start=start)

    def following(self, prompt: Sequence[int]) -> dict[int, float]:
        body = {"prompt": list(prompt), "max_tokens": 1, "n_probs": 20_000, "temperature": 1.0, "cache_prompt": True}
        [position] = self._server.complete(body)["choices"][0]["logprobs"]["content"]
        return {top["id"]: math.exp(top["logprob"]) for top in position["top_logprobs"]}


def by_brute_force(raw: Raw, prompt: list[int], sequences: Sequence[list[int]]) -> list[float]:
    """Probabilities of token sequences, each token's taken among those that can still lead to one of them."""
    found: list[float] = []
    for sequence in sequences:
        probability = 1.0
        for depth, token in enumerate(sequence):
            allowed = {other[depth] for other in sequences if other[:depth] == sequence[:depth]}
            if len(allowed) > 1:
                following = raw.following([*prompt, *sequence[:depth]])
                probability *= following[token] / math.fsum(following[each] for each in allowed)
        found.append(probability)
    return found


async def test_labels_of_one_token_have_the_models_own_probabilities(engine: LocalEngine) -> None:
    raw = Raw(engine)
    labels = ("positive", "negative", "neutral")
    tokens = [raw.tokens(f" {label}") for label in labels]
    assert all(len(each) == 1 for each in tokens), "the test needs labels of one token"
    following = raw.following(raw.tokens(QUESTION, start=True))
    total = math.fsum(following[token] for [token] in tokens)
    expected = [following[token] / total for [token] in tokens]
    assert await scored(engine, QUESTION, *labels) == pytest.approx(expected, rel=1e-3)


async def test_labels_that_begin_alike_are_told_apart_exactly(engine: LocalEngine) -> None:
    raw = Raw(engine)
    labels = ("not_good", "not_bad", "not good", "not", "good")
    prompt = raw.tokens(QUESTION, start=True)
    sequences = [raw.tokens(f" {label}\n") for label in labels]
    assert len({sequence[0] for sequence in sequences}) == 2
    expected = by_brute_force(raw, prompt, sequences)
    assert math.fsum(expected) == pytest.approx(1)
    assert sum(share > 1e-3 for share in expected) >= 3, "the test needs labels that matter"
    assert await scored(engine, QUESTION, *labels) == pytest.approx(expected, rel=1e-2, abs=1e-4)


async def test_the_order_of_the_labels_does_not_matter(engine: LocalEngine) -> None:
    labels = ("positive", "negative", "没意见", "don't know")
    found = await scored(engine, QUESTION, *labels)
    assert await scored(engine, QUESTION, *labels[::-1]) == pytest.approx(found[::-1], abs=1e-3)


async def test_one_choice_is_certain_and_costs_no_pass(engine: LocalEngine) -> None:
    completion = await engine.complete(request(QUESTION, "positive"))
    assert (completion.choice_probabilities, completion.usage.output_tokens) == ((1.0,), 0)


async def test_a_prompt_that_begins_alike_is_read_from_the_cache(engine: LocalEngine) -> None:
    beginning = "Say which fruit is meant. " * 12
    first = await engine.complete(request(f"{beginning}It is yellow.\nFruit:", "apple", "banana"))
    second = await engine.complete(request(f"{beginning}It is round and green.\nFruit:", "apple", "banana"))
    shared = engine.count_tokens((Message("user", beginning),))
    assert second.usage.cached_tokens > shared - 8
    assert second.usage.cached_tokens < second.usage.input_tokens
    assert first.usage.input_tokens == engine.count_tokens(request(f"{beginning}It is yellow.\nFruit:").messages)


@pytest.mark.parametrize("mark", ["<end_of_turn>", "<bos>", "<eos>", "<start_of_turn>user\n"])
def test_marks_in_a_record_are_letters_not_commands(mark: str, engine: LocalEngine) -> None:
    raw = Raw(engine)
    plain = raw.tokens(f"before {mark} after")
    assert len(plain) > 4
    special = set(range(2, 8)) | {105, 106}
    assert not special & set(plain), "begin, end and turn marks of the model"


async def test_a_prompt_longer_than_the_context_is_named_not_cut(engine: LocalEngine) -> None:
    too_long = request("word " * 600, "yes", "no")
    with pytest.raises(ContextExceeded, match=r"the prompt has 60\d tokens, the context holds 512"):
        await engine.complete(too_long)
    fits = engine.count_tokens(too_long.messages) - 512
    assert 80 < fits < 110, "tokens are counted exactly"


async def test_text_is_generated_up_to_the_tokens_allowed(engine: LocalEngine) -> None:
    completion = await engine.complete(request("One, two, three, four,", max_tokens=3))
    assert completion.text.startswith("five")
    assert (completion.finish, completion.usage.output_tokens) == ("length", 3)
    assert completion.choice_probabilities is None
    again = await engine.complete(request("One, two, three, four,", max_tokens=3))
    assert again.text == completion.text


async def test_a_reply_can_be_held_to_a_schema(engine: LocalEngine) -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["up", "down"]}}, "required": ["label"]}
    completion = await engine.complete(request("Which way?", schema=schema, max_tokens=24))
    assert json.loads(completion.text)["label"] in {"up", "down"}


async def test_chinese_and_odd_text_are_read_as_they_are(engine: LocalEngine) -> None:
    found = await scored(engine, "评论:房间很脏,服务很差。\n这条评论是好评还是差评?\n答案:", "好评", "差评")
    assert found[1] > found[0]
    odd = await scored(engine, "NUL \0, 😀, e\u0301, \u2028, \ufeff, שלום\nWhich?", "😀", "\u202eb")
    assert all(0 < share < 1 for share in odd)


async def test_half_a_character_is_refused_by_name(engine: LocalEngine) -> None:
    with pytest.raises(RecordRejected, match=r"'\\ud83d', a lone surrogate"):
        await engine.complete(request("half \ud83d", "a", "b"))


async def test_replies_that_are_made_together_belong_to_their_requests(engine: LocalEngine) -> None:
    texts = [f"{'Count the sheep. ' * times}How many?" for times in range(1, 7)]
    replies = await asyncio.gather(*(engine.complete(request(text, "few", "many")) for text in texts))
    for text, reply in zip(texts, replies, strict=True):
        assert reply.usage.input_tokens == engine.count_tokens((Message("user", text),))


async def test_it_keeps_the_contract_of_engines() -> None:
    await check_engine(lambda: LocalEngine(context_tokens=256, threads=1))


# The file


def test_its_identity_is_the_file_not_the_way_it_is_run(engine: LocalEngine) -> None:
    other = LocalEngine(context_tokens=128, slots=4, threads=2)
    assert other.identity == engine.identity
    assert str(engine.identity["digest"]).startswith("sha256:")
    assert engine.capabilities.reads == "plain", "the packaged model is a base model"
    assert (engine.capabilities.context_tokens, other.capabilities.context_tokens) == (512, 128)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "got one that begins with b''"),
        (b"PK\x03\x04 a zip file", "got one that begins with b'PK"),
    ],
)
def test_what_is_no_model_is_named_before_anything_is_loaded(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "my-model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"my-model\.gguf: expected a GGUF model file") as caught:
        LocalEngine(path)
    assert words in str(caught.value)


def test_a_model_that_was_cut_off_is_named_when_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    with packaged_model().open("rb") as whole:
        path.write_bytes(whole.read(8_000_000))
    engine = LocalEngine(path, threads=1)
    with pytest.raises(SettingsError, match=r"half\.gguf: llama\.cpp cannot load this model") as caught:
        engine.count_tokens((Message("user", "x"),))
    assert "incomplete" in caught.value.hint


# Prompts as text


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ([("user", "Q?\nLabel:")], "Q?\nLabel:"),
        ([("system", "Say."), ("user", "Q?\nLabel:")], "Say.\n\nQ?\nLabel:"),
        (
            [("system", "Say."), ("user", "A\nLabel:"), ("assistant", "x"), ("user", "B\nLabel:")],
            "Say.\n\nA\nLabel: x\n\nB\nLabel:",
        ),
        (
            [("user", "甲\n标签\uff1a"), ("assistant", "好"), ("user", "乙\n标签\uff1a")],
            "甲\n标签\uff1a好\n\n乙\n标签\uff1a",
        ),
        ([("user", "ends with lines\n\n"), ("assistant", "x"), ("user", "Q")], "ends with lines\n\n x\n\nQ"),
        ([("user", "")], ""),
    ],
)
def test_turns_become_one_text_that_ends_where_the_answer_begins(turns: list[tuple[Any, str]], text: str) -> None:
    assert plain_prompt([Message(role, content) for role, content in turns]) == text


def test_an_answer_stands_after_a_space_where_the_script_has_spaces() -> None:
    assert [answer_lead(text) for text in ("Label:", "标签\uff1a", "标签:", "")] == [" ", "", " ", " "]


# Chat templates


@pytest.fixture
async def chatting(engine: LocalEngine) -> AsyncGenerator[LocalEngine, None]:
    """The same model asked in turns: llama.cpp takes its ChatML template where a model brings none."""
    engine._chat = True  # pyright: ignore[reportPrivateUsage]
    yield engine
    engine._chat = False  # pyright: ignore[reportPrivateUsage]


async def test_turns_stand_between_the_marks_of_the_template_and_hold_none(chatting: LocalEngine) -> None:
    raw = Raw(chatting)
    turns = (
        Message("system", "Say."),
        Message("user", "A <|im_end|>"),
        Message("assistant", "x"),
        Message("user", "B"),
    )
    expected = "<|im_start|>system\nSay.<|im_end|>\n<|im_start|>user\nA <|im_end|><|im_end|>\n"
    expected += "<|im_start|>assistant\nx<|im_end|>\n<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\n"
    server = chatting._started()  # pyright: ignore[reportPrivateUsage]
    tokens = server.chat_tokens(turns)
    assert chatting.count_tokens(turns) == len(tokens)
    assert abs(len(tokens) - len(raw.tokens(expected, start=True))) <= 4
    assert server.chat_tokens(turns) == tokens


async def test_in_turns_a_label_ends_with_its_turn(chatting: LocalEngine) -> None:
    found = await scored(chatting, QUESTION, "bad", "bad_film", "good")
    assert all(share > 0 for share in found)
