"""One value out of many weighted values."""

from hypothesis import given
from hypothesis import strategies as st

from postil.tasks.merging import heaviest


def test_the_largest_total_weight_wins() -> None:
    assert heaviest([("a", 1), ("b", 3), ("a", 1.5)]) == "b"
    assert heaviest([("a", 1), ("b", 3), ("a", 2.5)]) == "a"


def test_a_tie_is_a_tie_whatever_the_order_and_the_rounding() -> None:
    tied = [("a", 0.1), ("a", 0.2), ("b", 0.3)]
    assert heaviest(tied) is heaviest(tied[::-1]) is None


def test_no_values_and_no_weight_give_none() -> None:
    assert heaviest([]) is None
    assert heaviest([("a", 0.0)]) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=12), st.data())
def test_the_order_of_answers_does_not_matter(weighted: list[tuple[str, float]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(weighted))
    assert heaviest(weighted) == heaviest(shuffled) == heaviest([*weighted, ("c", 0.0)])
