"""Quotes are found at their exact places in any script; what cannot be placed is said, never guessed (A8, A9, A10)."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import Ambiguous, NotFound
from postil.tasks.alignment import (
    Place,
    beginnings_within,
    ends_within,
    number,
    occurrences,
    place,
    places,
    stands_alone,
)

PIECES = [
    *["a", "b", "A", "1", "１", "ﬁ", "fi", "ß", "ss", "İ", "i", "ẛ̣", "Ａ", "ａ", ".", "-", "—", "“", '"', "’", "'"],
    *["é", "e\u0301", "\u0323\u0307", "\u200b", "\u200e", "\u00ad", " ", "  ", "\n", "\t", "\u3000"],
    *["👩\u200d💻", "👍", "👍🏽", "🇩🇪", "🇩", "❤️", "❤", "👨\u200d👩\u200d👧"],
    *["李", "開", "开", "々", "각", "각", "ก็", "การ", "ア", "ｱ", "ש", "לום", "ل", "سلام", "नम", "स्ते", "Д", "Й"],
]
"""Letters, digits and marks of many scripts in forms that fold alike, emoji of several code points, blanks."""

WORDS = [
    ("Cafe\u0301", "Café"),
    ("naïve", "nai\u0308ve"),
    ("ＡＢＣ", "ABC"),
    ("ｶﾞｽ", "ガス"),
    ("ﬁne", "fine"),
    ("don’t", "don't"),
    ("“well”", '"well"'),
    ("A–B", "A-B"),
    ("co\u00adoperate", "cooperate"),
    ("李 开复", "李开复"),
    ("北京大学", "北 京 大 学"),
    ("❤️", "❤"),
    ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"),
    ("U.S .", "U.S."),
    ("( AP )", "(AP)"),
    ("ﷺ", "صلى الله عليه وسلم"),
    ("\ufb2aלום", "ש\u05c1לום"),
    ("10 %", "10%"),
]
"""Words as a text has them, and as somebody may quote them."""

VOCABULARY = (
    "alpha brave charlie delta echoes foxtrot golfing hotels india juliet kilos limes mike november oscar papa quebec "
    "romeo sierra tango uniform victor whiskey yankee"
)
"""Words of which none is another one mistyped."""


def found(quote: str, text: str, **options: float) -> str:
    at = place(quote, text, **options)  # type: ignore[arg-type] - options of several types
    return text[at.start : at.end]


def test_a_hundred_thousand_spans_of_generated_texts_come_back_exactly() -> None:
    chance = random.Random(8)
    done = inside = repeated = 0
    while done < 100_000:
        text = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 30)))
        for _ in range(80):
            start = chance.randrange(len(text))
            end = chance.randint(start + 1, min(len(text), start + chance.choice([1, 2, 4, 12, 60])))
            which = number(text, start, end)
            assert place(text[start:end], text, occurrence=which) == Place(start, end, "exact"), (text, start, end)
            done, repeated = done + 1, repeated + (which is not None)
            inside += not stands_alone(text, start, end)
    # The texts must be hard ones, or nothing was tested.
    assert repeated > 10_000
    assert inside > 10_000


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), st.data())
def test_any_span_of_any_text_comes_back_exactly(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert place(text[start:end], text, occurrence=number(text, start, end)) == Place(start, end, "exact")


def test_words_quoted_in_another_form_are_found_whole() -> None:
    chance = random.Random(9)
    for _ in range(3000):
        words = chance.sample(WORDS, 6)
        first = chance.randrange(6)
        last = chance.randint(first, 5)
        text = " x ".join(stands for stands, _ in words)
        quote = " x ".join(quoted for _, quoted in words[first : last + 1])
        wanted = " x ".join(stands for stands, _ in words[first : last + 1])
        assert found(quote, text) == wanted, (quote, text)
        assert found(quote.upper(), text) == wanted, (quote, text)


@pytest.mark.parametrize(("stands", "quoted"), WORDS)
def test_each_form_is_told_from_the_exact_one(stands: str, quoted: str) -> None:
    text = f"x {stands} y"
    assert place(quoted, text).method == "form"
    assert place(stands, text).method == "exact"
    assert place("X", text) == Place(0, 1, "case")
    with pytest.raises(NotFound):
        place("X", text, case=False)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("art", "a start"),
        ("AP", "the MAP"),
        ("e", "cafe\u0301"),
        ("👩", "👩\u200d💻 works"),
        ("👍", "👍🏽 good"),
        ("🇩", "in 🇩🇪"),
        ("DE", "3DE"),
        ("5", "at 15:30"),
        ("fi", "ﬁne"),
        ("क", "कि"),
        ("가", "각"),
        ("\u1100\u1161", "\u1100\u1161\u11a8"),
    ],
)
def test_a_part_of_a_word_or_character_is_no_mention_unless_it_is_numbered(quote: str, text: str) -> None:
    with pytest.raises(NotFound):
        place(quote, text)
    if quote in text:
        assert place(quote, text, occurrence=1).start == text.index(quote)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("开复", "李开复"),
        ("서울", "서울에서 왔다"),
        ("ירושלים", "בירושלים"),
        ("東京", "東京都"),
        ("กรุงเทพ", "ที่กรุงเทพมหานคร"),
    ],
)
def test_scripts_without_spaces_have_mentions_anywhere(quote: str, text: str) -> None:
    assert found(quote, text) == quote


def test_mentions_that_stand_alone_come_first() -> None:
    text = "MAP of AP and AP"
    assert occurrences("AP", text) == [7, 14, 1]
    assert [place("AP", text, occurrence=which).start for which in (1, 2, 3)] == [7, 14, 1]
    assert place("AP", "MAP of AP") == Place(7, 9, "exact")


@pytest.mark.parametrize("which", [0, -1, 3, 10**9])
def test_a_number_that_there_is_no_mention_for_is_not_found(which: int) -> None:
    with pytest.raises(NotFound, match="occurrence"):
        place("Ann", "Ann and Ann", occurrence=which)


def test_several_mentions_are_ambiguous_without_a_number() -> None:
    with pytest.raises(Ambiguous, match="2 times"):
        place("Ann", "Ann and Ann")
    with pytest.raises(Ambiguous):
        place("ANN", "Ann and ann")
    assert [one.start for one in places("Ann", "Ann and Ann")] == [0, 8]
    assert place("Ann", "Ann and ann") == Place(0, 3, "exact")


@pytest.mark.parametrize(
    ("quote", "text", "wanted"),
    [
        ("the restaurant on the corner", "at the resturant on the corner .", "the resturant on the corner"),
        ("definitely received the goods", "I definately recieved the goods", "definately recieved the goods"),
        ("the Barack Obama speech", "all of the Barak Obama speech today", "the Barak Obama speech"),
        ("昨天去了北京大学图书官看书学习", "他昨天去了北京大学图书馆看书学习。", "昨天去了北京大学图书馆看书学习"),
    ],
)
def test_a_typing_error_in_a_long_quote_is_forgiven(quote: str, text: str, wanted: str) -> None:
    at = place(quote, text, fuzzy=0.15)
    assert (text[at.start : at.end], at.method) == (wanted, "fuzzy")
    with pytest.raises(NotFound):
        place(quote, text, fuzzy=0)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("we did approve the plan for next year", "we did not approve the plan for next year"),
        ("we meet at the station at 6 pm", "we meet at the station at 5 pm"),
        ("the plan is not available to members", "the plan is now available to members"),
        ("I love the food in this place", "I hate the food in this place"),
        ("他不同意这个方案的全部内容", "他同意这个方案的全部内容"),
        ("一共有三百二十五名学生参加了考试", "一共有三百二十六名学生参加了考试"),
        ("北京大学图书官", "他去了北京大学图书馆"),
        ("Jane Smith", "John Smith"),
    ],
)
def test_words_that_say_something_else_are_not_forgiven(quote: str, text: str) -> None:
    for fuzzy in (0.1, 0.2):
        with pytest.raises(NotFound):
            place(quote, text, fuzzy=fuzzy)


def test_a_quote_near_to_two_places_is_ambiguous_whatever_its_number() -> None:
    text = "the resturant on the corner and the restaurent on the corner"
    for which in (None, 1, 2):
        with pytest.raises(Ambiguous):
            place("the restaurant on the corner", text, occurrence=which)


def test_planted_quotes_are_placed_rightly_or_not_at_all() -> None:
    """Reliability A9: absent, repeated and altered quotes; wrong silent alignments: none."""
    chance = random.Random(10)
    placed = refused = 0
    for _ in range(6000):
        words = chance.sample(VOCABULARY.split(), 14)
        first = chance.randrange(10)
        chosen = words[first : first + chance.randint(1, 4)]
        altered = _altered(chosen, chance)
        twice = chance.random() < 0.3
        text = " ".join([*words, "zebra", *chosen] if twice else words)
        try:
            at = place(" ".join(altered), text, fuzzy=0.2)
        except (NotFound, Ambiguous):
            refused += 1
            assert twice or altered != chosen
        else:
            placed += 1
            # Whatever was altered, only the one place that it was taken from will do.
            assert text[at.start : at.end].split() == chosen, (text, altered)
            assert not twice
    assert min(placed, refused) > 1000


def _altered(words: Sequence[str], chance: random.Random) -> list[str]:
    """Return words with one letter mistyped, one word replaced, left out or put in, or as they are."""
    changed, at = list(words), chance.randrange(len(words))
    match chance.randrange(5):
        case 0:
            spot = chance.randrange(len(changed[at]))
            changed[at] = changed[at][:spot] + "z" + changed[at][spot + 1 :]
        case 1:
            changed[at] = "zulu"
        case 2:
            changed.insert(at, "never")
        case 3 if 0 < at < len(words) - 1:
            # Without its first or last word a quote would be a shorter one that does stand there.
            del changed[at]
        case _:
            pass
    return changed


@given(st.text("abc", min_size=1, max_size=7), st.text("abc", max_size=14), st.integers(1, 3))
def test_near_stretches_are_those_within_the_edit_distance(wanted: str, text: str, limit: int) -> None:
    near = {
        (start, end): distance
        for end in range(1, len(text) + 1)
        for start in range(end + 1)
        if (distance := _levenshtein(wanted, text[start:end])) <= limit
    }
    best = {end: min(d for (_, e), d in near.items() if e == end) for _, end in near}
    assert dict(ends_within(wanted, text, limit)) == best
    for end in best:
        expected = {start: d for (start, e), d in near.items() if e == end and start < end}
        assert dict(beginnings_within(wanted, text, end, limit)) == expected


def _levenshtein(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j - 1] + (a != b), before[j] + 1, row[j - 1] + 1))
    return row[-1]


def test_right_to_left_text_keeps_its_logical_order() -> None:
    text = "פגשתי את Anna ב-12:30 במסעדה ליד الجامعة 2024"
    for quote in ("Anna", "12:30", "במסעדה", "الجامعة", "2024", "Anna ב-12:30"):
        at = place(quote, text)
        assert text[at.start : at.end] == quote
        # Marks that only turn the direction are not seen.
        marked = f"\u200f{quote}\u200e"
        assert place(marked, text) == Place(at.start, at.end, "form")


@pytest.mark.parametrize("quote", ["x" * 5000, "ab " * 200, "\u0301" * 300, " ", "\u200d", "🇩" * 99])
def test_odd_quotes_end_in_a_place_or_an_error(quote: str) -> None:
    text = "ab ab " * 300 + "x" * 300
    try:
        at = place(quote, text, fuzzy=0.3)
    except (NotFound, Ambiguous):
        return
    assert 0 <= at.start < at.end <= len(text)
