"""How many may be in flight: grown while it helps, halved in trouble, never below one, never above what was asked."""

from hypothesis import given
from hypothesis import strategies as st

from postil.runner.window import Window


def window(most: float = 64, first: float = 8) -> Window:
    made = Window(first)
    made.allow(most)
    return made


def replies(some: Window, number: int, *, now: float, seconds: float = 0.1, full: bool = True) -> None:
    for _ in range(number):
        some.good(now, seconds, full=full)


def test_it_doubles_with_every_round_until_the_first_trouble() -> None:
    some = window(most=1000)
    for round_ in range(5):
        size = int(some.size)
        replies(some, size, now=1.0 + round_)
        assert some.size == 2 * size


def test_it_does_not_grow_where_it_holds_nobody_back() -> None:
    some = window()
    replies(some, 500, now=1.0, full=False)
    assert some.size == 8


def test_trouble_halves_it_once_for_all_that_left_before() -> None:
    some = window()
    replies(some, 56, now=1.0)
    assert some.size == 64
    for _ in range(10):
        some.trouble(2.0, sent=1.9, in_flight=64)
    assert some.size == 32
    some.trouble(2.5, sent=2.1, in_flight=32)
    assert some.size == 16, "and again for what left after"


def test_after_trouble_it_comes_back_to_just_below_and_then_waits() -> None:
    some = window()
    replies(some, 56, now=1.0)
    some.trouble(2.0, sent=1.9, in_flight=64)
    replies(some, 199, now=3.0)
    assert 0.94 * 64 <= some.size < 64
    replies(some, 400, now=4.0)
    assert some.size == 64, "after many good replies it tries more"


def test_more_replies_must_be_good_where_more_were_refused() -> None:
    sizes: list[float] = []
    for refused in (1, 5):
        some = window()
        replies(some, 56, now=1.0)
        for _ in range(refused):
            some.trouble(2.0, sent=1.9, in_flight=64)
        replies(some, 450, now=3.0)
        sizes.append(some.size)
    assert sizes[0] > sizes[1]


@given(st.lists(st.tuples(st.sampled_from(["good", "full", "trouble"]), st.floats(0.001, 10))), st.integers(1, 300))
def test_it_stays_between_one_and_what_was_asked_for(events: list[tuple[str, float]], most: int) -> None:
    some, now = window(most=most), 0.0
    for event, seconds in events:
        now += seconds
        if event == "trouble":
            some.trouble(now, sent=now - 0.01, in_flight=max(1, int(some.size)))
        else:
            some.good(now, seconds, full=event == "full")
        assert 1 <= some.size <= most


def test_a_limit_that_is_lowered_holds_at_once() -> None:
    some = window()
    replies(some, 56, now=1.0)
    some.allow(10)
    assert some.size == 10
