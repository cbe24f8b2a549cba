"""Semantic roles beside gold: predicates, arguments with and without their roles, whole frames (survey 0.06)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from postil.assess.compared import Compared, Counts
from postil.tasks.reading import fold
from postil.tasks.roles import Roles
from postil.types import Answer

__all__ = ["compare", "role_confusion"]

_ALIKE: Final = 0.5
"""Shared words over all words of two places from which they are one argument, in FitzGerald et al. 2018
(arXiv 1805.05377); here of characters, since not every script has spaces between words."""

_Place = tuple[int, int]


class _Argument(NamedTuple):
    predicate: _Place
    role: str
    place: _Place


class _Frame(NamedTuple):
    predicate: _Place
    sense: str
    arguments: frozenset[_Argument]


def compare(task: Roles, gold: Answer, given: Answer) -> Compared:
    """Return the parts of one answer beside those of gold.

    `predicates`, where they were looked for, match by place; `arguments` by predicate, role and place; `unlabelled`
    arguments by predicate and place; `overlapping` ones by predicate and half of their characters, each once; `frames`
    by everything, which is the exact match of predicates; `senses`, where there are any, by predicate and sense.
    Questions that differ in case, width or spaces are equal.
    """
    # Questions are free words; roles are names.
    ours, theirs = (_frames(answer, fold if task.questions else str) for answer in (given, gold))
    given_arguments, gold_arguments = _arguments(ours), _arguments(theirs)
    found = {"predicates": _counts({each.predicate for each in ours}, {each.predicate for each in theirs})}
    counts = {
        **(found if task.predicate is None else {}),
        "arguments": _counts(given_arguments, gold_arguments),
        "unlabelled": _counts(_unlabelled(given_arguments), _unlabelled(gold_arguments)),
        "overlapping": _overlapping(_unlabelled(given_arguments), _unlabelled(gold_arguments)),
        "frames": _counts(ours, theirs),
    }
    if task.senses:
        counts["senses"] = _counts({each[:2] for each in ours}, {each[:2] for each in theirs})
    return Compared(
        counts=counts,
        per_label={
            role: _counts(_of_role(given_arguments, role), _of_role(gold_arguments, role)) for role in task.labels
        },
        right=ours == theirs,
    )


def role_confusion(gold: Answer, given: Answer) -> Counter[tuple[str, str]]:
    """Return how often an argument that has one role in gold was given another, or the same, at the same place.

    Pairs are of gold's role and the role given; `""` where the argument is there on one side only. Arguments that trade
    ARG0 for ARG1 in passives stand out in it.
    """
    sides: list[defaultdict[tuple[_Place, _Place], list[str]]] = []
    for answer in (gold, given):
        roles: defaultdict[tuple[_Place, _Place], list[str]] = defaultdict(list)
        for predicate, role, place in sorted(_arguments(_frames(answer, str))):
            roles[predicate, place].append(role)
        sides.append(roles)
    confusion: Counter[tuple[str, str]] = Counter()
    for place in sides[0].keys() | sides[1].keys():
        true, said = Counter(sides[0][place]), Counter(sides[1][place])
        confusion.update({(role, role): count for role, count in (true & said).items()})
        confusion.update(zip_longest(sorted((true - said).elements()), sorted((said - true).elements()), fillvalue=""))
    return confusion


def _frames(answer: Answer, role_of: Callable[[str], str]) -> set[_Frame]:
    return {
        _Frame(
            predicate := _place(frame["predicate"]),
            frame["predicate"].get("sense") or "",
            frozenset(_Argument(predicate, role_of(each["role"]), _place(each)) for each in frame["arguments"]),
        )
        for frame in answer["frames"]
    }


def _place(held: Mapping[str, Any]) -> _Place:
    return held["start"], held["end"]


def _arguments(frames: Iterable[_Frame]) -> set[_Argument]:
    return {argument for frame in frames for argument in frame.arguments}


def _of_role(arguments: Iterable[_Argument], role: str) -> set[_Argument]:
    return {argument for argument in arguments if argument.role == role}


def _unlabelled(arguments: Iterable[_Argument]) -> set[tuple[_Place, _Place]]:
    return {(argument.predicate, argument.place) for argument in arguments}


def _counts(given: Collection[object], gold: Collection[object]) -> Counts:
    return Counts(len({*given} & {*gold}), len(given), len(gold))


def _overlapping(given: set[tuple[_Place, _Place]], gold: set[tuple[_Place, _Place]]) -> Counts:
    """Count a largest matching of places that overlap enough, each used once (Kuhn 1955)."""
    wanted = sorted(gold)
    alike = [[at for at, other in enumerate(wanted) if _enough(one, other)] for one in sorted(given)]
    taken: dict[int, int] = {}

    def find(one: int, tried: set[int]) -> bool:
        for at in alike[one]:
            if at not in tried:
                tried.add(at)
                if at not in taken or find(taken[at], tried):
                    taken[at] = one
                    return True
        return False

    hits = sum(find(one, set()) for one in range(len(alike)))
    return Counts(hits, len(given), len(gold))


def _enough(one: tuple[_Place, _Place], other: tuple[_Place, _Place]) -> bool:
    (start, end), (first, last) = one[1], other[1]
    shared = min(end, last) - max(start, first)
    return one[0] == other[0] and shared >= _ALIKE * (max(end, last) - min(start, first))
