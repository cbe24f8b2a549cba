"""What servers say of their limits, in the spellings they use (reliability R11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from postil.engines._rate_limits import rate_limits
from postil.engines._refusals import complaint_of
from postil.types import RateLimit

NOW = 1_800_000_000.0


def told(**headers: str) -> tuple[RateLimit, ...]:
    return rate_limits(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), NOW)


def test_openai_tells_of_requests_and_tokens() -> None:
    found = told(
        x_ratelimit_limit_requests="10000",
        x_ratelimit_remaining_requests="9999",
        x_ratelimit_reset_requests="6ms",
        x_ratelimit_limit_tokens="200000",
        x_ratelimit_remaining_tokens="150000",
        x_ratelimit_reset_tokens="1m15s",
    )
    assert found == (
        RateLimit("requests", 10_000, 9_999, 0.006),
        RateLimit("tokens", 200_000, 150_000, 75.0),
    )


def test_anthropic_tells_of_input_and_output_apart_and_by_its_own_clock() -> None:
    found = told(
        date="Fri, 15 Jan 2027 08:00:00 GMT",
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2027-01-15T08:00:01Z",
        anthropic_ratelimit_input_tokens_limit="50000",
        anthropic_ratelimit_input_tokens_remaining="49000",
        anthropic_ratelimit_input_tokens_reset="2027-01-15T08:00:30+00:00",
        anthropic_ratelimit_output_tokens_limit="10000",
        anthropic_ratelimit_output_tokens_remaining="10000",
        anthropic_ratelimit_output_tokens_reset="2027-01-15T08:00:00Z",
    )
    assert found == (
        RateLimit("requests", 50, 49, 1.0),
        RateLimit("input_tokens", 50_000, 49_000, 30.0),
        RateLimit("output_tokens", 10_000, 10_000, 0.0),
    )


@pytest.mark.parametrize(
    ("headers", "reset"),
    [
        (
            {"x_ratelimit_limit": "20", "x_ratelimit_remaining": "3", "x_ratelimit_reset": str(int((NOW + 9) * 1000))},
            9.0,
        ),
        ({"ratelimit_limit": "20", "ratelimit_remaining": "3", "ratelimit_reset": "50"}, 50.0),
        ({"ratelimit_limit": "20", "ratelimit_remaining": "3"}, None),
    ],
)
def test_one_limit_only_is_taken_for_one_of_requests(headers: dict[str, str], reset: float | None) -> None:
    assert told(**headers) == (RateLimit("requests", 20, 3, reset),)


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [("", ""), ("0", "0"), ("many", "3"), ("20", ""), ("20", "21"), ("20", "-1"), ("nan", "1"), ("1e999", "1")],
)
def test_nonsense_counts_as_absent(limit: str, remaining: str) -> None:
    assert told(x_ratelimit_limit_requests=limit, x_ratelimit_remaining_requests=remaining) == ()


@given(st.text(), st.text(), st.text())
def test_nothing_in_a_header_can_break_it(limit: str, remaining: str, reset: str) -> None:
    for each in told(x_ratelimit_limit=limit, x_ratelimit_remaining=remaining, x_ratelimit_reset=reset):
        assert 0 <= each.remaining <= each.limit
        assert each.reset is None or each.reset >= 0


def test_a_refusal_tells_of_them_too() -> None:
    headers = CIMultiDict({"x-ratelimit-limit-requests": "20", "x-ratelimit-remaining-requests": "0"})
    complaint = complaint_of(429, headers, b'{"error": {"message": "slow down"}}', NOW)
    assert complaint.rate_limits == (RateLimit("requests", 20, 0, None),)
