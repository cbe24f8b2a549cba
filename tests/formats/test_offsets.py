"""Offsets in other units: exact both ways for every text and every place (reliability A8)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError
from postil.formats.offsets import UNITS, Offsets, OffsetUnit

TEXTS = st.text(st.characters(codec="utf-8")) | st.text("aé好😀👩🏽‍🚀\u0301\u2028\r\n🇨🇳")


def units(text: str, unit: OffsetUnit) -> int:
    """Return how long a text is in a unit, counted by Python's own codecs."""
    match unit:
        case "code points":
            return len(text)
        case "UTF-16":
            return len(text.encode("utf-16-le")) // 2
        case "UTF-8":
            return len(text.encode("utf-8"))


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=200)
@given(text=TEXTS)
def test_every_place_of_a_text_is_found_in_every_unit(unit: OffsetUnit, text: str):
    offsets = Offsets(text, unit)
    for place in range(len(text) + 1):
        offset = offsets.of(place)
        assert offset == units(text[:place], unit)
        assert offsets.code_points(offset) == place


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=200)
@given(text=TEXTS, offset=st.integers(-2, 200))
def test_no_other_offset_is_a_place(unit: OffsetUnit, text: str, offset: int):
    places = [units(text[:place], unit) for place in range(len(text) + 1)]
    if offset in places:
        assert Offsets(text, unit).code_points(offset) == places.index(offset)
    else:
        with pytest.raises(DataError, match="expected an offset"):
            Offsets(text, unit).code_points(offset)


def test_the_middle_of_an_emoji_is_no_place():
    assert Offsets("a😀b", "UTF-16").code_points(3) == 2
    with pytest.raises(DataError, match="got 2 in UTF-16, inside '😀'"):
        Offsets("a😀b", "UTF-16").code_points(2)
    with pytest.raises(DataError, match="got 3 in UTF-8, inside '好'"):
        Offsets("a好", "UTF-8").code_points(3)


@pytest.mark.parametrize("unit", UNITS)
def test_a_place_beyond_the_text_is_none(unit: OffsetUnit):
    with pytest.raises(DataError, match="from 0 to 2 in code points, got 3"):
        Offsets("好a", unit).of(3)
