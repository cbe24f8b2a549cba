"""Where the words that a model quotes stand in a text: exact offsets in code points, found and never guessed.

A quote is looked for in four ways, each only where the ones before found nothing (survey 0.05, reliability A9):

1. `exact`: the very characters.
2. `form`: the same but for what is not seen or not meant: width, composed or decomposed letters, kinds of quotation
   mark, dash and space, invisible characters, spaces beside punctuation and in scripts that write none.
3. `case`: the same but for upper and lower case too.
4. `fuzzy`: a few letters mistyped or corrected, and no other place comes as near. Digits are never different, words are
   never more or fewer, and a short word is never another.

A mention counts only where it stands alone: "art" is no mention in "start", nor is a letter without its accent or an
emoji without its skin tone. Several mentions are told apart by their number; without one they are ambiguous. An exact
mention that does not stand alone can be meant by its number, counted after those that do.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from typing import Final, Literal

from postil.errors import Ambiguous, NotFound
from postil.tasks.reading import clip

__all__ = [
    "FUZZY",
    "METHODS",
    "Method",
    "Place",
    "ambiguous",
    "loosest",
    "number",
    "occurrences",
    "place",
    "places",
    "stands_alone",
]

Method = Literal["exact", "form", "case", "fuzzy"]

METHODS: Final[tuple[Method, ...]] = ("exact", "form", "case", "fuzzy")
"""From the strictest on."""

FUZZY: Final = 0.1
"""How many of a quote's characters may differ at most, as a share: one in ten, so short quotes must be exact."""

_FUZZY_LENGTH: Final = 500
"""Longer quotes must be found without edits: nobody retypes a page by hand."""
_NEAR_ENDS: Final = 16
"""A quote that comes near to more ends than these is as good as nowhere."""
_WORD_EDITS: Final = 0.25
"""How much of one word may differ: "recieve" is "receive", but "not" is never "now"."""

# Scripts that put no spaces between words, or hang particles and articles onto them: any letter may begin a mention.
_UNSPACED: Final = (
    (0x0590, 0x08FF),  # Hebrew, Arabic, Syriac, Thaana, N'Ko
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x1AAF),  # Tai
    (0x2E80, 0xA4CF),  # Chinese, Japanese, Yi
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFF),
    (0xFF65, 0xFFDC),
    (0x1B000, 0x1B2FF),
    (0x20000, 0x3FFFF),
)
_ZERO_WIDTH_JOINER: Final = "\u200d"
_ALIKE: Final = {
    **dict.fromkeys(map(ord, "‘’‚‛′ʼ`´"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»「」『』"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quote stands: code points, the end exclusive."""

    start: int
    end: int
    method: Method


def loosest(methods: Iterable[Method]) -> Method:
    """Return the method of all that was put together: it is as exact as its least exact part."""
    return max(methods, key=METHODS.index)


def place(quote: str, text: str, *, occurrence: int | None = None, case: bool = True, fuzzy: float = FUZZY) -> Place:
    """Return the one place that a quote means; `occurrence`, from 1, says which of several.

    Args:
        quote: What is said to stand in the text.
        text: Where to look.
        occurrence: Which of the mentions is meant, in the order of `occurrences`.
        case: Whether a mention in another case is one.
        fuzzy: How many of the quote's characters may differ at most, as a share of them; 0 for none.

    Raises:
        NotFound: the quote does not stand in the text, or not so often.
        Ambiguous: it stands there several times, and nothing says which is meant.
    """
    found = list(places(quote, text, case=case, fuzzy=fuzzy))
    if occurrence is not None:
        return _numbered(quote, text, found, occurrence)
    if not found:
        raise _absent(quote, text)
    if len(found) > 1:
        raise ambiguous(quote, len(found))
    return found[0]


def ambiguous(quote: str, times: int) -> Ambiguous:
    """Return the error for a quote that stands in a text several times, for lack of the one that is meant."""
    return Ambiguous(f'{clip(quote)!r} stands in the text {times} times: say which with "occurrence", counted from 1')


def _absent(quote: str, text: str) -> NotFound:
    if inside := len(occurrences(quote, text)):
        return NotFound(
            f"{clip(quote)!r} stands in the text only inside longer words or characters: quote them whole, "
            f'or say which is meant with "occurrence", 1 to {inside}'
        )
    return NotFound(f"{clip(quote)!r} does not stand in the text: copy it letter by letter")


def _numbered(quote: str, text: str, found: Sequence[Place], occurrence: int) -> Place:
    if len(found) > 1 and found[0].method == "fuzzy":
        raise Ambiguous(f"{clip(quote)!r} is near to several places in the text: copy it letter by letter")
    inside = [Place(start, start + len(quote), "exact") for start in _inside(quote, text)]
    numbered = [*found, *inside]
    if not numbered:
        raise _absent(quote, text)
    if not 1 <= occurrence <= len(numbered):
        times = f"{len(numbered)} times" if len(numbered) > 1 else "once"
        raise NotFound(f"there is no occurrence {occurrence} of {clip(quote)!r}: it stands in the text {times}")
    return numbered[occurrence - 1]


def places(quote: str, text: str, *, case: bool = True, fuzzy: float = FUZZY) -> tuple[Place, ...]:
    """Return every place that a quote may mean, in order, found in the strictest way that finds any."""
    starts = list(_starts(quote, text))
    alone = tuple(start for start in starts if stands_alone(text, start, start + len(quote)))
    if alone:
        return tuple(Place(start, start + len(quote), "exact") for start in alone)
    found = _unlike(quote, text, case=case)
    # Words that stand inside others are no typing error.
    return found if found or starts else tuple(_near(quote, text, case=case, fuzzy=fuzzy))


def _unlike(quote: str, text: str, *, case: bool) -> tuple[Place, ...]:
    """Return where a quote stands in other characters than its own."""
    return tuple(_alike(quote, text, "form")) or (tuple(_alike(quote, text, "case")) if case else ())


def occurrences(quote: str, text: str) -> list[int]:
    """Return where a quote stands exactly: first the mentions that stand alone, then the others, each in order."""
    return sorted(_starts(quote, text), key=lambda start: not stands_alone(text, start, start + len(quote)))


def _inside(quote: str, text: str) -> list[int]:
    """Return where a quote stands exactly but cuts a word or a character."""
    return [start for start in _starts(quote, text) if not stands_alone(text, start, start + len(quote))]


def number(text: str, start: int, end: int) -> int | None:
    """Return the `occurrence` that makes `place` find a span by its words, `None` where it finds it without one."""
    quote = text[start:end]
    found = places(quote, text)
    if stands_alone(text, start, end):
        return None if len(found) == 1 else [each.start for each in found].index(start) + 1
    return len(found) + _inside(quote, text).index(start) + 1


def _starts(quote: str, text: str) -> Iterator[int]:
    """Yield every start of a quote, overlapping ones too, so that every span of a text can be meant."""
    start = text.find(quote) if quote else -1
    while start >= 0:
        yield start
        start = text.find(quote, start + 1)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether neither end of a span cuts a word or a character as readers see it."""
    return not _cuts(text, start) and not _cuts(text, end)


def _cuts(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after.isascii() and before.isascii():
        return after.isalnum() and before.isalnum()
    return _continues(after) or before == _ZERO_WIDTH_JOINER or _halves_flag(text, at) or _halves_word(text, at)


def _continues(character: str) -> bool:
    """Return whether a character belongs to the one before: marks, joiners, selectors, skin tones, ends of Hangul."""
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me")
        or character == _ZERO_WIDTH_JOINER
        or "\u1160" <= character <= "\u11ff"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _halves_flag(text: str, at: int) -> bool:
    """Return whether a place is inside a flag, which is a pair of regional indicators."""
    if not _regional(text[at]):
        return False
    start = at
    while start and _regional(text[start - 1]):
        start -= 1
    return (at - start) % 2 == 1


def _regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _halves_word(text: str, at: int) -> bool:
    before = at - 1
    while before and _continues(text[before]):
        before -= 1
    return _in_words(text[before]) and _in_words(text[at])


def _in_words(character: str) -> bool:
    """Return whether a character is a letter or digit of a script that puts spaces between words."""
    if character.isascii():
        return character.isalnum()
    if not character.isalnum():
        return False
    code = ord(character)
    return not any(first <= code <= last for first, last in _UNSPACED)


@dataclass(frozen=True, slots=True)
class _Folded:
    """A text without what a way of looking does not see, and where each of its characters came from."""

    text: str
    sources: tuple[int, ...]


@lru_cache(maxsize=16)
def _folded(text: str, way: Method) -> _Folded:
    # Decomposed, each character can be folded alone, so every folded character has one source.
    pairs = [(piece, at) for at, character in enumerate(text) for piece in _pieces(character, lower=way != "form")]
    pairs = _in_canonical_order(pairs)
    kept = [pair for i, pair in enumerate(pairs) if pair[0] != " " or _parts_words(pairs, i)]
    return _Folded("".join(piece for piece, _ in kept), tuple(at for _, at in kept))


@lru_cache(maxsize=4096)
def _pieces(character: str, *, lower: bool) -> str:
    """Return what is compared of a character; nothing for what is not seen, one blank for any space."""
    if character.isspace():
        return " "
    if unicodedata.category(character) == "Cf" or _selects_variant(character):
        return ""
    plain = unicodedata.normalize("NFKD", character.translate(_ALIKE))
    if lower:
        plain = unicodedata.normalize("NFKD", plain.casefold())
    return plain.translate(_ALIKE).strip() if plain != " " else " "


def _selects_variant(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _in_canonical_order(pairs: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return pairs with the marks on one letter in the order in which Unicode compares them."""
    if all(not unicodedata.combining(piece) for piece, _ in pairs):
        return pairs
    ordered: list[tuple[str, int]] = []
    for marks, run in groupby(pairs, key=lambda pair: unicodedata.combining(pair[0]) > 0):
        these = list(run)
        ordered += sorted(these, key=lambda pair: unicodedata.combining(pair[0])) if marks else these
    return ordered


def _parts_words(pairs: Sequence[tuple[str, int]], i: int) -> bool:
    """Return whether a blank is the first of a run that parts two words; tokenised text has many that do not."""
    before = i - 1
    while before > 0 and unicodedata.combining(pairs[before][0]):
        before -= 1
    if before < 0 or not _in_words(pairs[before][0]):
        return False
    after = i + 1
    while after < len(pairs) and pairs[after][0] == " ":
        after += 1
    return after < len(pairs) and _in_words(pairs[after][0])


def _alike(quote: str, text: str, way: Method) -> Iterator[Place]:
    """Yield the places where the folded quote stands, none of which cuts a character or a word."""
    wanted, within = _folded(quote, way).text, _folded(text, way)
    for at in _starts(wanted, within.text):
        if (span := _whole(within, text, at, at + len(wanted))) is not None:
            yield Place(*span, way)


def _whole(folded: _Folded, text: str, first: int, last: int) -> tuple[int, int] | None:
    """Return the span of the text that a folded span came from, `None` where it cuts a character or a word."""
    sources = folded.sources
    if (first and sources[first - 1] == sources[first]) or (last < len(sources) and sources[last - 1] == sources[last]):
        return None
    start, end = min(sources[first:last]), max(sources[first:last]) + 1
    while end < len(text) and _selects_variant(text[end]):
        end += 1
    return (start, end) if stands_alone(text, start, end) else None


def _near(quote: str, text: str, *, case: bool, fuzzy: float) -> Iterator[Place]:
    """Yield the places that come near enough to a quote; spans that overlap are two only if they are equally near."""
    way: Method = "case" if case else "form"
    wanted, within = _folded(quote, way).text, _folded(text, way)
    limit = int(fuzzy * len(wanted) + 1e-9)
    if not limit or len(wanted) > _FUZZY_LENGTH:
        return
    ends = list(islice(_last_of_near(wanted, within, text, limit), _NEAR_ENDS + 1))
    best: dict[tuple[int, int], int] = {}
    for last in ends if len(ends) <= _NEAR_ENDS else ():
        for first, distance in beginnings_within(wanted, within.text, last, limit):
            span = _whole(within, text, first, last)
            if span and _same_but_for_spelling(wanted, within.text[first:last], max(fuzzy, _WORD_EDITS)):
                best[span] = min(distance, best.get(span, distance))
        if len(_apart(best)) > 1:
            break
    yield from (Place(*span, "fuzzy") for span in _apart(best))


def _apart(best: Mapping[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Return the nearest span of each place where there are any."""
    chosen: list[tuple[int, int]] = []
    for span in sorted(best, key=lambda span: (best[span], span)):
        if all(best[other] == best[span] or not (span[0] < other[1] and other[0] < span[1]) for other in chosen):
            chosen.append(span)
    return sorted(chosen)


def _last_of_near(wanted: str, within: _Folded, text: str, limit: int) -> Iterator[int]:
    """Yield where near stretches may end: of ends in a row, those with the fewest edits that cut nothing."""
    row: list[tuple[int, int]] = []
    for last, score in [*ends_within(wanted, within.text, limit), (len(within.text) + 2, 0)]:
        if row and last > row[-1][0] + 1:
            whole = [each for each in row if not _cuts(text, within.sources[each[0] - 1] + 1)]
            fewest = min((score for _, score in whole), default=0)
            yield from (end for end, score in whole if score == fewest)
            row = []
        row.append((last, score))


def ends_within(wanted: str, text: str, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the ends of stretches that differ from `wanted` in at most `limit` edits, with how many.

    Bit-parallel: one step for each character of the text, whatever the length of the quote (Myers 1999,
    doi 10.1145/316542.316550).
    """
    size = len(wanted)
    mask, top = (1 << size) - 1, 1 << (size - 1)
    where: dict[str, int] = {}
    for i, character in enumerate(wanted):
        where[character] = where.get(character, 0) | 1 << i
    up, down, score = mask, 0, size
    for at, character in enumerate(text):
        same = where.get(character, 0)
        across = (((same & up) + up) ^ up) | same | down
        right, left = down | ~(across | up) & mask, up & across
        score += bool(right & top) - bool(left & top)
        right, left = (right << 1) & mask, (left << 1) & mask
        vertical = same | down
        up, down = left | ~(vertical | right) & mask, right & vertical
        if score <= limit:
            yield at + 1, score


def beginnings_within(wanted: str, text: str, last: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the starts of stretches that end at `last` and differ in at most `limit` edits, with how many."""
    size = len(wanted)
    far = limit + 1
    row = {column: column for column in range(min(limit, size) + 1)}
    for length in range(min(last, size + limit) + 1):
        if length:
            row = _next_row(row, wanted, text[last - length], length, limit)
        if row.get(size, far) <= limit and length:
            yield last - length, row[size]


def _next_row(before: dict[int, int], wanted: str, character: str, length: int, limit: int) -> dict[int, int]:
    """Return the edit distances of one more character, from the ends backwards, only where they may matter."""
    size, far = len(wanted), limit + 1
    row: dict[int, int] = {}
    for column in range(max(0, length - limit), min(size, length + limit) + 1):
        if not column:
            row[column] = length
            continue
        differs = wanted[size - column] != character
        row[column] = min(
            before.get(column - 1, far) + differs, before.get(column, far) + 1, row.get(column - 1, far) + 1
        )
    return row


def _same_but_for_spelling(wanted: str, found: str, share: float) -> bool:
    """Return whether two folded texts have the same digits and, word for word, the same words up to spelling.

    A word more or less, another digit or another short word says something else ("did", "did not"; "5 pm", "6 pm").
    An end that no word end vouches for must be the same character, or the place would be a guess.
    """
    ours, theirs = _words(wanted), _words(found)
    if len(ours) != len(theirs) or not ours:
        return False
    for mine, other in ((ours[0], theirs[0]), (ours[-1], theirs[-1])):
        if mine != other and not (_in_words(mine[0]) and _in_words(other[0])):
            return False
    return all(_spelled_alike(mine, other, share) for mine, other in zip(ours, theirs, strict=True))


def _words(folded: str) -> list[str]:
    """Return the words of a folded text; a letter of a script without spaces is a word of its own."""
    words: list[str] = []
    inside = False
    for character in folded:
        if words and (unicodedata.combining(character) or (inside and _in_words(character))):
            words[-1] += character
        elif character.isalnum():
            words.append(character)
            inside = _in_words(character)
        else:
            inside = False
    return words


def _spelled_alike(one: str, other: str, share: float) -> bool:
    if one == other:
        return True
    if _numerals(one) != _numerals(other):
        return False
    if not _in_words(one[0]):
        return not _in_words(other[0])
    return _distance(one, other) <= int(share * max(len(one), len(other)))


def _numerals(word: str) -> list[str]:
    return [character for character in word if character.isnumeric()]


def _distance(one: str, other: str) -> int:
    """Return how many letters must be put in, left out, changed or swapped with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            nearest = min(before[j - 1] + (a != b), before[j] + 1, row[j - 1] + 1)
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                nearest = min(nearest, earlier[j - 2] + 1)
            row.append(nearest)
    return row[-1]
