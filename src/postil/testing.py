"""Public checks that other people's parts keep the contracts that the rest of Postil relies on.

A check raises `AssertionError` with what was expected and what came. It needs no test framework:

    async def test_my_engine_keeps_the_contract():
        await check_engine(lambda: MyEngine("model"))

    def test_my_kind_keeps_the_contract():
        check_task(MyKind("name", "question"), [{"answer": "yes"}, {"answer": "no"}])
"""

import asyncio
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast, get_args

from postil.canonical import canonical_json
from postil.errors import AnswerError, DataError, Filtered, PostilError, Refused, Truncated
from postil.tasks import VALUE_SCALES, AnswerForm, Ask, CompoundTask, Language, Reading, Scale, Task
from postil.tasks.kinds import KINDS, task_from_spec
from postil.tasks.shown import Shown
from postil.types import (
    JSON,
    Answer,
    Capabilities,
    Completion,
    Engine,
    FinishReason,
    Message,
    Record,
    Request,
    Scores,
    Usage,
)

__all__ = ["check_engine", "check_task"]

_TOGETHER: Final = 6
_CHOICES: Final = ("A", "B", "C")
_TEXTS: Final = (
    "The battery died after two days, and nobody answered my letters.",
    "房间很大，早餐也不错，下次还会来。",
    "one two three 456 {}[]\n\ttabs \0 😀 é e\u0301 שלום",
)
# Servers round; a distribution that is off by more than this is none.
_ROUNDING: Final = 1e-6
# A server that computes several requests together may differ a little from one request to the next.
_REPEATED: Final = 0.1


async def check_engine(engine: Engine | Callable[[], Engine], *, secret: str = "") -> None:
    """Check that an engine keeps the contract of `postil.types.Engine`; it is closed at the end.

    It asks about a dozen short questions, at temperature 0. Given a function that makes the engine, it also checks
    that two engines made alike are told to be the same. `secret` is a key that the engine was given: it must show
    up nowhere.

    Raises:
        AssertionError: the contract is broken; the message says which part, and by what.
    """
    # A class has all the methods that its objects have, yet it is what makes them.
    made = not isinstance(engine, Engine) or isinstance(engine, type)
    make = cast("Callable[[], Engine]", engine if made else lambda: engine)
    subject = make()
    _instance("the engine", subject, Engine)
    _check_identity(subject, secret)
    if made:
        other = make()
        _same("identity of two engines made alike", dict(other.identity), dict(subject.identity))
        await other.aclose()
    _check_capabilities(subject)
    _check_counting(subject)
    await _check_choices(subject)
    await _check_pairing(subject)
    await subject.aclose()
    await subject.aclose()


def _require(holds: bool, message: str) -> None:
    # Not an assert statement: python -O must not switch the check off.
    if not holds:
        raise AssertionError(message)


def _same(what: str, got: object, expected: object) -> None:
    _require(got == expected, f"{what}: expected {expected!r}, got {got!r}")


def _instance(what: str, got: object, kind: type) -> None:
    _require(isinstance(got, kind), f"{what}: expected {kind.__name__}, got {got!r}")


def _check_identity(engine: Engine, secret: str) -> None:
    try:
        written = json.dumps(dict(engine.identity), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"identity must be JSON: {error}") from None
    _same("identity, read back from JSON", json.loads(written), dict(engine.identity))
    _require(bool(engine.identity), "identity must name what can change the answers, got nothing")
    for place, text in (("identity", written), ("repr", repr(engine)), ("str", str(engine))):
        _require(not secret or secret not in text, f"the key stands in the engine's {place}")


def _check_capabilities(engine: Engine) -> None:
    capabilities = engine.capabilities
    _instance("capabilities", capabilities, Capabilities)
    _same("capabilities, read again", engine.capabilities, capabilities)
    context = capabilities.context_tokens
    _require(context is None or context > 0, f"context_tokens must be above 0 or None, got {context!r}")


def _check_counting(engine: Engine) -> None:
    """Count growing prompts: a planner that shortens a prompt must be able to rely on it getting shorter."""
    for text in _TEXTS[:2]:
        counts = [engine.count_tokens(_prompt(text * times)) for times in (0, 1, 2, 8)]
        _require(all(type(count) is int and count >= 0 for count in counts), f"expected counts of tokens, got {counts}")
        _require(counts == sorted(counts) and counts[0] < counts[-1], f"count_tokens falls as a prompt grows: {counts}")
    one, two = _prompt(_TEXTS[0]), _prompt(_TEXTS[0]) * 2
    _require(engine.count_tokens(one) <= engine.count_tokens(two), "count_tokens falls as messages are added")
    odd = engine.count_tokens(_prompt(_TEXTS[2]))
    _require(odd > 0, "count_tokens counts nothing in a text of odd characters")


async def _check_choices(engine: Engine) -> None:
    forward = await engine.complete(_request(_TEXTS[0], choices=_CHOICES))
    backward = await engine.complete(_request(_TEXTS[0], choices=_CHOICES[::-1]))
    for completion in (forward, backward):
        _check_completion(completion)
        _check_probabilities(engine, completion)
    if forward.choice_probabilities and backward.choice_probabilities:
        pairs = zip(forward.choice_probabilities, reversed(backward.choice_probabilities), strict=True)
        _require(
            all(abs(one - other) <= _REPEATED for one, other in pairs),
            "choice_probabilities do not follow the order of the choices: "
            f"{forward.choice_probabilities} for {_CHOICES}, {backward.choice_probabilities} for {_CHOICES[::-1]}",
        )
    plain = await engine.complete(_request(_TEXTS[1]))
    _check_completion(plain)
    _same("choice_probabilities of a request without choices", plain.choice_probabilities, None)


def _check_completion(completion: Completion) -> None:
    _instance("what complete returned", completion, Completion)
    _instance("text", completion.text, str)
    _require(completion.finish in get_args(FinishReason), f"finish: got {completion.finish!r}")
    usage = completion.usage
    _instance("usage", usage, Usage)
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    _require(all(type(count) is int and count >= 0 for count in counts), f"usage: expected counts, got {usage!r}")


def _check_probabilities(engine: Engine, completion: Completion) -> None:
    scores, probabilities, mass = engine.capabilities.scores, completion.choice_probabilities, completion.choice_mass
    _require(mass is None or 0 <= mass <= 1 + _ROUNDING, f"choice_mass must be a probability, got {mass!r}")
    if probabilities is None:
        _require(scores != "sequence", 'an engine with scores = "sequence" must score every choice, got None')
        return
    _require(scores != "none", f'choice_probabilities given, though capabilities say scores = "none": {probabilities}')
    _same("number of choice_probabilities", len(probabilities), len(_CHOICES))
    _require(all(0 <= p <= 1 for p in probabilities), f"expected probabilities, got {probabilities}")
    total = math.fsum(probabilities)
    _require(abs(total - 1) <= _ROUNDING, f"choice_probabilities must sum to 1, got {total} from {probabilities}")


async def _check_pairing(engine: Engine) -> None:
    """Ask alone, then all at once: every reply must belong to its own request (reliability R3).

    Each prompt has a length of its own, so the count of tokens read tells replies apart even where their texts are
    alike. One request is called off on the way; the others must not notice.
    """
    requests = [_request(f"Say w{i}." + " Please do." * i) for i in range(_TOGETHER)]
    alone = [await engine.complete(request) for request in requests]
    called_off = asyncio.ensure_future(engine.complete(requests[-1]))
    together = asyncio.gather(*(engine.complete(request) for request in requests))
    await asyncio.sleep(0)
    called_off.cancel()
    await asyncio.gather(called_off, return_exceptions=True)
    for i, completion in enumerate(await together):
        _check_completion(completion)
        expected, got = alone[i].usage.input_tokens, completion.usage.input_tokens
        _require(got == expected, f"request {i} of {_TOGETHER} at once read {got} tokens, alone {expected}: mixed up?")
        _check_own_text(i, completion.text, [other.text for other in alone])


def _check_own_text(i: int, text: str, alone: Sequence[str]) -> None:
    if len(set(alone)) < len(alone):
        # Not every request has a text of its own, and a model may answer twice differently: nothing to see here.
        return
    owners = [j for j, other in enumerate(alone) if other == text]
    _require(owners in ([], [i]), f"request {i} of {_TOGETHER} at once got the reply of request {owners}")


def _prompt(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def _request(text: str, *, choices: tuple[str, ...] = ()) -> Request:
    return Request(_prompt(text), max_tokens=4, seed=0, choices=choices)


def check_task(task: Task, answers: Sequence[Answer], *, record: Record | None = None) -> None:
    """Check that a kind keeps the contract of `postil.tasks.Task`.

    `answers` are answers as an annotator may give them, best of all one for each label; `record` is what they are
    about, where answers point into a text. Nothing is asked of any engine.

    Raises:
        AssertionError: the contract is broken; the message says which part, and by what.
    """
    _require(bool(answers), "give at least one answer to check with")
    _check_definition(task)
    about = record or Record("checked", dict.fromkeys(Shown.parse(task.show).fields, _TEXTS[0]))
    accepted = [_check_accepting(task, answer, about) for answer in answers]
    _check_refusing(task)
    _check_comparing(task, accepted)
    _check_merging(task, accepted)
    forms: list[AnswerForm] = []
    for scores, schema in itertools.product(get_args(Scores), (False, True)):
        form = _check_form(task, Capabilities(scores=scores, schema=schema))
        if form not in forms:
            forms.append(form)
    for form in forms:
        for answer in accepted:
            _check_writing(task, answer, form, about)
        _check_choosing(task, accepted, form, about)
        _check_hostile(task, accepted, form, about)
    _check_order(task, accepted, about)
    if isinstance(task, CompoundTask):
        _check_parts(task, accepted, about)


def _check_definition(task: Task) -> None:
    _instance("the task", task, Task)
    _instance("kind", task.kind, str)
    _require(bool(task.answer_keys), "answer_keys must name the keys of an answer, got none")
    for key in task.answer_keys:
        _instance("one of answer_keys", key, str)
    _require(task.language in get_args(Language), f"language: got {task.language!r}")
    _require(task.scale in get_args(Scale), f"scale: got {task.scale!r}")
    _same("number of different labels", len(set(task.labels)), len(task.labels))
    try:
        written = canonical_json(task.spec)
    except PostilError as error:
        raise AssertionError(f"spec must be JSON: {error}") from None
    _same("spec['kind']", task.spec.get("kind"), task.kind)
    rebuild = _rebuild(task)
    if rebuild is not None:
        # Through the canonical form, which sorts keys: an order that matters must survive it.
        again = rebuild(json.loads(written))
        _same("the task made from its spec", again, task)
        _same("the spec of the task made from its spec", canonical_json(again.spec), written)


def _rebuild(task: Task) -> Callable[[Mapping[str, JSON]], Task] | None:
    return task_from_spec if task.kind in KINDS else getattr(type(task), "from_spec", None)


def _check_accepting(task: Task, answer: Answer, record: Record) -> Answer:
    before = canonical_json(answer)
    accepted = task.accept(answer, record)
    _same(f"{answer!r} after it was accepted", canonical_json(answer), before)
    _instance(f"what accept made of {answer!r}", accepted, Mapping)
    _require(set(task.answer_keys) <= set(accepted), f"accept gave {accepted!r}, answer_keys are {task.answer_keys}")
    for how, again in (("", task.accept(_json(accepted), record)), (" without its record", task.accept(accepted))):
        _same(f"{accepted!r}, accepted again{how}", _json(again), _json(accepted))
    described = task.describe(accepted)
    _instance(f"description of {accepted!r}", described, str)
    _same(f"lines of the description {described!r}", len(described.strip().splitlines()), 1)
    return accepted


def _json(value: Any) -> Any:
    return json.loads(canonical_json(value))


def _check_refusing(task: Task) -> None:
    """Offer what is no answer: it may be accepted or refused with a `DataError`, and nothing else may happen."""
    odd: list[JSON] = [None, True, "", "\0", "\ud800", "NaN", float("nan"), float("inf"), 10**400, 1e308, [], [[]], {}]
    for answer in ({}, *({key: value} for key in task.answer_keys for value in odd)):
        try:
            accepted = task.accept(answer)
        except DataError:
            continue
        except Exception as error:
            raise AssertionError(f"accept({answer!r:.80}) must raise DataError, it raised {error!r:.200}") from error
        _same(f"{accepted!r:.80}, accepted again", task.accept(accepted), accepted)


def _check_comparing(task: Task, answers: Sequence[Answer]) -> None:
    for answer in answers:
        value = task.value(answer)
        if task.scale == "interval":
            finite = isinstance(value, (int, float)) and math.isfinite(value)
            _require(finite, f"value of {answer!r} must be a finite number on an interval scale, got {value!r}")
        elif task.scale in VALUE_SCALES:
            _require(value in task.labels, f"value of {answer!r} must be one of the labels, got {value!r}")
        else:
            _same(f"value of the structure {answer!r}: its canonical JSON", value, canonical_json(answer).decode())
    for one, other in itertools.product(answers, repeat=2):
        there, back = task.agreement(one, other), task.agreement(other, one)
        _same(f"agreement of {other!r} with {one!r}, the other way round", back, there)
        _require(0 <= there <= 1, f"agreement must be from 0 to 1, got {there!r} for {one!r} and {other!r}")
        _require(there == 1 or one != other, f"agreement of {one!r} with itself must be 1, got {there!r}")


def _check_merging(task: Task, answers: Sequence[Answer]) -> None:
    _same("merge of no answers", task.merge([]), None)
    for answer in answers:
        for weights in ((1.0,), (0.1, 0.1, 0.1), (3.0, 0.7)):
            _same("merge of equal answers", task.merge([(answer, weight) for weight in weights]), answer)
    weighted = [(answer, 1.0 + i % 2) for i, answer in enumerate(answers)]
    merged = task.merge(weighted)
    _same("merge of the same answers in another order", task.merge(weighted[::-1]), merged)
    if merged is not None:
        _same("what merge gave, accepted", task.accept(merged), merged)


def _check_form(task: Task, capabilities: Capabilities) -> AnswerForm:
    form = task.form(capabilities)
    _instance("form", form, AnswerForm)
    _same("form, asked for again", task.form(capabilities), form)
    _require(form.max_tokens > 0, f"max_tokens must be above 0, got {form.max_tokens!r}")
    _same("number of different choices", len(set(form.choices)), len(form.choices))
    _require(form.schema is None or bool(canonical_json(form.schema)), "an empty schema says nothing")
    ask = task.ask(form)
    _instance("ask", ask, Ask)
    _require(bool(ask.contract.strip()), "contract must say how to write the answer, got nothing")
    if form.style == "code":
        _same("the options' codes", tuple(option.code for option in ask.options), form.choices)
    return form


def _check_writing(task: Task, answer: Answer, form: AnswerForm, record: Record) -> None:
    written = task.write(answer, form, record)
    how = f"{answer!r} in the form {form.style!r}"
    _instance(f"{how}, written", written, str)
    _require(bool(written.strip()), f"{how} was written as nothing: {written!r}")
    _require(not form.choices or written in form.choices, f"{how}: {written!r} is none of the choices {form.choices}")
    for text in (written, f"{written}\n", f"\n {written}", f"<think>{written} or not?</think>\n{written}"):
        reading = _reading(task, text, form, record)
        _same(f"{how}, written and read back from {text!r:.80}", reading and reading.answer, answer)
        confidence = reading and reading.confidence
        _same(f"{how}: confidence of a reply that came without probabilities", confidence, None)
    for finish, error in (("length", Truncated), ("filter", Filtered), ("refusal", Refused)):
        try:
            read = task.read(_completion(written, cast("FinishReason", finish)), form, record)
        except error:
            continue
        raise AssertionError(f"{how}: a reply with finish {finish!r} must raise {error.__name__}, it gave {read!r}")


def _check_choosing(task: Task, answers: Sequence[Answer], form: AnswerForm, record: Record) -> None:
    """Give probabilities with the reply, as an engine that scores choices does."""
    if not form.choices:
        return
    even = (1 / len(form.choices),) * len(form.choices)
    for answer in answers:
        written = task.write(answer, form, record)
        odds = tuple(0.6 if choice == written else 0.4 / (len(form.choices) - 1) for choice in form.choices)
        completion = dataclasses.replace(_completion(written), choice_probabilities=odds)
        for prior in (None, even):
            reading = task.read(completion, form, record, prior)
            got = None if reading.answer is None else task.value(reading.answer)
            _same(f"the answer to {written!r} at {odds} with the prior {prior}", got, task.value(answer))
            confidence = reading.confidence
            _require(confidence is None or 0 < confidence.value <= 1, f"confidence: got {confidence!r}")
            total = 1.0 if reading.probabilities is None else math.fsum(reading.probabilities.values())
            _require(abs(total - 1) <= _ROUNDING, f"probabilities must sum to 1, got {reading.probabilities}")


def _check_hostile(task: Task, answers: Sequence[Answer], form: AnswerForm, record: Record) -> None:
    """Read what models and attackers write: an answer of the task, or an `AnswerError`, and nothing else."""
    for text in itertools.chain.from_iterable(map(_hostile, task.answer_keys)):
        reading = _reading(task, text, form, record)
        if reading is not None and reading.answer is not None:
            _same(f"the answer read from {text!r:.80}, accepted", task.accept(reading.answer), reading.answer)
    for text in ("", " \n\t", *_REFUSALS):
        reading = _reading(task, text, form, record)
        _require(reading is None or text in task.labels, f"{text!r} is no answer, and was read as {reading!r}")
    # An answer may be made of others ("New", "York", "New York"); then the whole reply says so.
    for one, other in _pairs(task, answers, form, record):
        reading = _reading(task, f"{one}\n{other}", form, record)
        answer = None if reading is None else reading.answer
        whole = answer is not None and task.write(answer, form, record) == f"{one} {other}"
        _require(reading is None or whole, f"a reply of {one!r} and {other!r} was read as {reading!r}")


def _pairs(task: Task, answers: Sequence[Answer], form: AnswerForm, record: Record) -> Iterable[tuple[str, str]]:
    # Where the reply itself is the answer, two texts are a longer text.
    shown = [] if form.style == "text" else answers[:_TOGETHER]
    return itertools.permutations([task.write(answer, form, record) for answer in shown], 2)


def _check_order(task: Task, answers: Sequence[Answer], record: Record) -> None:
    """Turn the labels round: answers must follow names, not positions (survey 0.01)."""
    rebuild, labels = _rebuild(task), task.spec.get("labels")
    if rebuild is None or not isinstance(labels, list):
        return
    turned = rebuild({**task.spec, "labels": labels[::-1]})
    _require(canonical_json(turned.spec) != canonical_json(task.spec), "the spec is the same with labels turned round")
    for scores in get_args(Scores):
        form = turned.form(Capabilities(scores=scores))
        for answer in answers:
            # An answer of several labels has them in the task's order.
            same = turned.accept(answer, record)
            reading = turned.read(_completion(turned.write(same, form, record)), form, record)
            _same(f"{answer!r}, written and read back with the labels turned round", reading.answer, same)


def _check_parts(task: CompoundTask, answers: Sequence[Answer], record: Record) -> None:
    """Answer the parts as a demonstration of the whole would: together they must give the whole back."""
    _require(bool(task.parts), "a compound task has parts, got none")
    for scores, answer in itertools.product(get_args(Scores), answers):
        given: list[Answer] = []
        readings: list[Reading] = []
        for at, part in enumerate(task.parts):
            _instance(f"part {at}", part, Task)
            shown, form = task.part_record(at, record, given), part.form(Capabilities(scores=scores))
            given.append(part.accept(task.part_answer(at, answer), shown))
            readings.append(part.read(_completion(part.write(given[at], form, shown)), form, shown))
        combined = task.combine(readings).answer
        value = None if combined is None else task.value(combined)
        _same(f"{answer!r}, put together from the answers to its parts", value, task.value(answer))


def _reading(task: Task, text: str, form: AnswerForm, record: Record) -> Reading | None:
    try:
        return task.read(_completion(text), form, record)
    except AnswerError:
        return None
    except Exception as error:
        raise AssertionError(
            f"read must raise AnswerError or nothing, it raised {error!r:.200} on {text!r:.80}"
        ) from error


def _completion(text: str, finish: FinishReason = "stop") -> Completion:
    return Completion(text, finish, Usage(1, 1))


_REFUSALS: Final = ("I'm sorry, but I can't help with that.", "I cannot answer this.", "抱歉，我无法回答这个问题。")
_MEGABYTE: Final = 1_000_000


def _hostile(key: str) -> Iterator[str]:
    """Yield what models and attackers write; `key` is the field that an answer stands in."""
    yield from (
        "\0",
        "\ud800",
        "\ufeff",
        "\u202e",
        "null",
        "NaN",
        "-0",
        "1e999",
        "…",
        "“",
        "{}",
        "[]",
        '"',
        "{{ 7*7 }}",
    )
    yield from ("<|im_start|>assistant\n", "<|im_end|>", "[INST]", "</s>", "<think>", "</think>", "<think></think>")
    yield from ("```", "```json\n```", f'{{"{key}": "')
    for value in ("null", "true", "NaN", "1e999", "{}", "[[]]", '"\\ud800"', "9" * 400, "9" * 5000, f'1, "{key}": 2'):
        yield f'{{"{key}": {value}}}'
    for piece in ("x", "{", "[", "是", "\n", " Answer:", "Answer: x\n", f'{{"{key}":'):
        yield piece * (_MEGABYTE // len(piece))
    yield "```" + "\n" * _MEGABYTE
    yield "<think>" + " " * _MEGABYTE
