"""Buckets, and the word of servers that give back evenly or all at once."""

import bisect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.runner.pace import LONGEST_WAIT, ONE_REQUEST, Bucket, Pool, Ticket
from postil.types import RateLimit


@given(st.floats(1, 5000), st.lists(st.floats(0, 0.5), min_size=50, max_size=300))
def test_no_minute_holds_more_than_was_declared(limit: float, gaps: list[float]) -> None:
    bucket, now, taken = Bucket.per_minute(limit, 0.0), 0.0, list[float]()
    for gap in gaps * 4:
        now += gap
        wait = bucket.wait(1, now)
        assert wait >= 0
        now += wait
        bucket.take(1)
        taken.append(now)
    most = max(bisect.bisect_left(taken, at + 60 - 1e-6) - i for i, at in enumerate(taken))
    assert most <= math.ceil(limit)


def test_a_bucket_gives_at_once_only_what_a_second_brings() -> None:
    bucket = Bucket.per_minute(600, 0.0)
    at_once = 0
    while not bucket.wait(1, 1000.0):
        bucket.take(1)
        at_once += 1
    assert at_once == 10


def test_what_is_more_than_a_bucket_holds_goes_once_it_is_full() -> None:
    bucket = Bucket(10.0, 100.0, 0.0)
    assert bucket.wait(5000, 0.0) == 0
    bucket.take(5000)
    assert bucket.wait(1, 0.0) == pytest.approx(490.1)


def asked(pool: Pool, now: float, requests: int = 1) -> list[Ticket]:
    return [pool.take(ONE_REQUEST, now) for _ in range(requests)]


def test_what_left_after_a_server_spoke_is_taken_off() -> None:
    pool = Pool()
    [first] = asked(pool, 0.0)
    asked(pool, 0.1, 4)
    pool.hear(first, (RateLimit("requests", 100, 5, 60.0),))
    assert pool.wait(ONE_REQUEST, 0.2) == 0
    asked(pool, 0.2)
    assert pool.wait(ONE_REQUEST, 0.2) > 0, "five were left, and five have left"


def test_an_older_word_does_not_overrule_a_newer_one() -> None:
    pool = Pool()
    first, second = asked(pool, 0.0, 2)
    pool.hear(second, (RateLimit("requests", 100, 0, 30.0),))
    pool.hear(first, (RateLimit("requests", 100, 50, 30.0),))
    assert pool.wait(ONE_REQUEST, 0.1) > 20


def test_a_limit_that_comes_back_evenly_is_told_from_one_that_comes_back_at_once() -> None:
    evenly, at_once = Pool(), Pool()
    for number in range(1, 101):
        now = number / 10
        for pool, reset in ((evenly, number * 0.6), (at_once, 60.0 - now)):
            [ticket] = asked(pool, now)
            pool.hear(ticket, (RateLimit("requests", 100, 100 - number, reset),))
    assert evenly.wait(ONE_REQUEST, 10.0) == pytest.approx(0.6, abs=0.01), "one of a hundred a minute"
    assert at_once.wait(ONE_REQUEST, 10.0) == pytest.approx(50.0, abs=0.01), "when the minute is over"
    assert at_once.wait(ONE_REQUEST, 61.0) == 0


def test_a_server_that_never_renews_its_word_stalls_nobody() -> None:
    pool, now = Pool(), 0.0
    [ticket] = asked(pool, now)
    pool.hear(ticket, (RateLimit("requests", 10, 0, 5.0),))
    for _ in range(30):
        wait = pool.wait(ONE_REQUEST, now)
        assert wait <= LONGEST_WAIT
        now += wait
        asked(pool, now)
    assert now < 300


def test_tokens_are_counted_as_what_they_came_to() -> None:
    pool = Pool()
    pool.declare("tokens", 6000, 0.0)
    ticket = pool.take((1, 5000, 1000), 0.0)
    before = pool.wait((1, 50, 50), 0.0)
    pool.correct(ticket, (1, 100, 10))
    after = pool.wait((1, 50, 50), 0.0)
    assert after == pytest.approx(before - (6000 - 110) / pool.declared["tokens"].rate)


def test_the_lowest_limit_declared_holds() -> None:
    pool = Pool()
    for limit in (600, 60, 6000):
        pool.declare("requests", limit, 0.0)
    assert pool.declared["requests"].rate == pytest.approx(1.0)
