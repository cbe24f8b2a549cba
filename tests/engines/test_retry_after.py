from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from postil.engines._retry_after import retry_after

NOW = datetime(2044, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp()


def waits(words: str = "", **headers: str) -> float | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return retry_after(CIMultiDict(named), words, NOW)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0.25", 0.25),
        ("0", 0),
        ("20s", 20),
        ("86400000", 86_400_000),
        ("Sun, 06 Nov 2044 08:49:40 GMT", 3),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_every_form_and_nonsense_counts_as_absent(header: str, seconds: float | None) -> None:
    assert waits(retry_after=header) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_is_compared_with_the_servers_own_clock() -> None:
    assert waits(retry_after="Sun, 06 Nov 1994 08:50:37 GMT", date="Sun, 06 Nov 1994 08:49:37 GMT") == 60


def test_milliseconds_win_over_seconds() -> None:
    assert waits(retry_after_ms="1500", retry_after="9") == 1.5
    assert waits(retry_after_ms="soon", retry_after="9") == 9


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("12", 12),
        (str(int(NOW) + 30), 30),
        (str(int(NOW + 30) * 1000), 30),
        ("2044-11-06T08:49:47Z", 10),
        ("2044-11-06T08:49:47", 10),
        ("1994-11-06T08:49:47Z", 0),
        ("later", None),
    ],
)
def test_the_reset_of_a_limit_is_a_duration_or_a_moment(reset: str, seconds: float | None) -> None:
    assert waits(x_ratelimit_reset_requests=reset) == (None if seconds is None else pytest.approx(seconds))
    assert waits(x_ratelimit_reset=reset) == (None if seconds is None else pytest.approx(seconds))


def test_the_limit_that_is_used_up_decides() -> None:
    limits = {"x_ratelimit_reset_requests": "6m0s", "x_ratelimit_reset_tokens": "1s"}
    assert waits(**limits, x_ratelimit_remaining_requests="0", x_ratelimit_remaining_tokens="900") == 360
    assert waits(**limits, x_ratelimit_remaining_requests="40", x_ratelimit_remaining_tokens="0") == 1
    assert waits(**limits) == 1


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 20s. Visit …", 20),
        ("Please try again in 1m12.5s.", 72.5),
        ("Please retry after 6ms", 0.006),
        ("try again in 5 minutes", None),
    ],
)
def test_the_words_count_when_no_header_says(words: str, seconds: float | None) -> None:
    assert waits(words) == (None if seconds is None else pytest.approx(seconds))
    assert waits(words, retry_after="3") == 3


@given(st.text(), st.text(), st.text(), st.text())
def test_no_server_can_make_it_fail_or_negative(first: str, second: str, third: str, words: str) -> None:
    headers = {"retry-after": first, "retry-after-ms": second, "x-ratelimit-reset-tokens": third, "date": first}
    wait = retry_after(CIMultiDict(headers), words, NOW)
    assert wait is None or 0 <= wait < float("inf")
