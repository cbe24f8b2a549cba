"""Agreement beyond chance reproduces published worked examples."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from postil.assess import Resampling, cohen_kappa, krippendorff_alpha
from postil.assess.confusion import Confusion
from postil.errors import DataError

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C: four annotators, twelve records.
_ROWS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = [tuple(row[at] for row in _ROWS) for at in range(12)]


def resampling(seed: int = 0) -> Resampling:
    return Resampling(np.random.default_rng(seed), 0.95, 300)


@pytest.mark.parametrize(("scale", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_as_published(scale: str, published: float) -> None:
    made = krippendorff_alpha(UNITS, resampling=resampling(), scale=scale, labels=(1, 2, 3, 4, 5))  # pyright: ignore[reportArgumentType]
    assert made is not None
    assert made.value == pytest.approx(published, abs=6e-4)
    assert made.low < made.value < made.high
    assert made.n == 11


def test_alpha_without_two_answers_to_a_record_is_undefined() -> None:
    assert krippendorff_alpha([("a", None), (None, None)], resampling=resampling()) is None
    assert krippendorff_alpha([], resampling=resampling()) is None


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_alpha_of_one_value_only_is_undefined_not_one(scale: str) -> None:
    units = [(1, 1)] * 10
    assert krippendorff_alpha(units, resampling=resampling(), scale=scale, labels=(1, 2)) is None  # pyright: ignore[reportArgumentType]


def test_alpha_of_random_answers_is_near_zero_and_of_equal_ones_is_one() -> None:
    rng = np.random.default_rng(1)
    guessed = [tuple(str(one) for one in rng.integers(0, 3, size=3)) for _ in range(300)]
    made = krippendorff_alpha(guessed, resampling=resampling())
    assert made is not None
    assert made.low < 0 < made.high
    equal = krippendorff_alpha([(one[0], one[0]) for one in guessed], resampling=resampling())
    assert equal is not None
    assert equal.value == 1


def test_alpha_names_a_value_that_has_no_place_on_the_scale() -> None:
    with pytest.raises(DataError, match="got '坏'"):
        krippendorff_alpha([("好", "坏")], resampling=resampling(), scale="interval")
    with pytest.raises(DataError, match=r"expected one of \['好'\], got '坏'"):
        krippendorff_alpha([("好", "坏")], resampling=resampling(), scale="ordinal", labels=("好",))


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_is_scikit_learns(weights: str | None) -> None:
    rng, labels = np.random.default_rng(2), ("1", "2", "3", "4")
    first = rng.integers(0, 4, size=200)
    second = np.clip(first + rng.integers(-1, 2, size=200), 0, 3)
    confusion = Confusion.of(labels, gold=[labels[at] for at in first], given=[labels[at] for at in second])
    made = cohen_kappa(confusion, resampling=resampling(), weights=weights)  # pyright: ignore[reportArgumentType]
    assert made is not None
    assert made.value == pytest.approx(oracle.cohen_kappa_score(first, second, weights=weights))
    assert made.low < made.value < made.high


def test_kappa_of_nothing_or_of_one_label_is_undefined() -> None:
    assert cohen_kappa(Confusion.of(("a", "b"), gold=[], given=[]), resampling=resampling()) is None
    assert cohen_kappa(Confusion.of(("a", "b"), gold=["a"] * 3, given=["a"] * 3), resampling=resampling()) is None
