"""Public checks that other people's parts keep the contracts that the rest of Postil relies on.

A check raises `AssertionError` with what was expected and what came. It needs no test framework:

    async def test_my_engine_keeps_the_contract():
        await check_engine(lambda: MyEngine("model"))
"""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Final, cast, get_args

from postil.types import Capabilities, Completion, Engine, FinishReason, Message, Request, Usage

__all__ = ["check_engine"]

_TOGETHER: Final = 6
_CHOICES: Final = ("A", "B", "C")
_TEXTS: Final = (
    "The battery died after two days, and nobody answered my letters.",
    "房间很大,早餐也不错,下次还会来。",
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
