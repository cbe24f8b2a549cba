"""What a timeline's answer holds: events at their places and links between them, in one canonical form.

Events stand in the order of the text, links between the earlier and the later of two events wherever the relation has
an inverse that may be used; so answers that say the same are equal.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from postil.errors import Inconsistent
from postil.tasks.mentions import majority
from postil.tasks.merging import heaviest
from postil.tasks.places import Part, part_of
from postil.tasks.reading import clip
from postil.tasks.temporal_order import INVERSES, Link, find_cycles, inverse, repair
from postil.types import JSON, Answer

__all__ = ["Event", "Story", "consistent", "contradictions", "merged", "misfits", "story_of"]

_NAMED: Final = 3
"""How many contradictions of one reply are named at once."""


class Event(NamedTuple):
    """The words that tell of an event, and those that tell when it happens."""

    part: Part
    time: Part | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Events by their ids, in order, and the links between them."""

    events: Mapping[str, Event]
    links: tuple[Link, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the events, in order."""
        return tuple(self.events)

    def arranged(self, relations: Collection[str], *, renumbered: bool) -> "Story":
        """Return the same in canonical form: in the order of the text, each link once; `renumbered` from E1."""
        ordered = sorted(self.events, key=lambda each: (self.events[each].part, each))
        names = {old: f"E{at + 1}" if renumbered else old for at, old in enumerate(ordered)}
        links = (Link(names[link.source], names[link.target], link.relation) for link in self.links)
        rank = {names[old]: at for at, old in enumerate(ordered)}
        turned = {oriented(link, rank, relations) for link in links}
        return Story(
            {names[old]: self.events[old] for old in ordered},
            tuple(sorted(turned, key=lambda link: (rank[link.source], rank[link.target]))),
        )

    def answer(self, *, times: bool) -> Answer:
        """Return it as the JSON of an answer; `times` says whether events have times."""
        events: list[JSON] = []
        for each, event in self.events.items():
            when = {"time": event.time and event.time.json} if times else {}
            events.append({"id": each, **event.part.json, **when})
        links = [{"from": link.source, "to": link.target, "relation": link.relation} for link in self.links]
        return {"events": events, "links": links}

    def by_place(self) -> Iterator[tuple[Part, Part, str]]:
        """Yield its links with the places of their events: ids are names that mean nothing to another answer."""
        for source, target, relation in self.links:
            yield self.events[source].part, self.events[target].part, relation


def story_of(answer: Answer) -> Story:
    """Return what an accepted answer holds."""
    events = {each["id"]: Event(part_of(each), _time_of(each)) for each in answer["events"]}
    return Story(events, tuple(Link(each["from"], each["to"], each["relation"]) for each in answer["links"]))


def _time_of(held: Mapping[str, JSON]) -> Part | None:
    return part_of(held["time"]) if held.get("time") else None


def oriented(link: Link, rank: Mapping[str, int], relations: Collection[str]) -> Link:
    """Return a link from the event of lower rank to the other, if that can be said with these relations."""
    if INVERSES[link.relation] not in relations:
        return link
    if link.relation in relations and rank[link.source] <= rank[link.target]:
        return link
    return inverse(link)


def misfits(events: Mapping[str, Event], links: Sequence[Link]) -> Iterator[str]:
    """Yield what cannot be whatever the order: events twice, links of an event to itself, vague ones that are not."""
    seen: dict[Part, str] = {}
    for each, event in events.items():
        if event.part in seen:
            yield f"{seen[event.part]} and {each} are the same event, {clip(repr(event.part.text), 60)}"
        seen[event.part] = each
    said: dict[frozenset[str], Link] = {}
    for link in links:
        if link.source == link.target:
            yield f"{_in_words(link, events)} links an event to itself"
        other = said.setdefault(frozenset(link[:2]), link)
        if other.relation != link.relation and "vague" in (other.relation, link.relation):
            yield f"{_in_words(other, events)} and {_in_words(link, events)} contradict each other"


def contradictions(events: Mapping[str, Event], links: Sequence[Link]) -> Iterator[str]:
    """Yield sets of links that cannot all be true, no more than can be named at once; none if all can."""
    for cycle in find_cycles(links, most=_NAMED):
        yield f"these links cannot all be true: {'; '.join(_in_words(links[at], events) for at in cycle)}"


def consistent(
    events: Mapping[str, Event], links: Mapping[int, Link], sure: Sequence[float | None] | None
) -> tuple[Mapping[int, Link], tuple[str, ...]]:
    """Return links that can all be true, by their places in a reply, and what was left out for that.

    `sure` says how sure each link of the reply is, `None` that nothing may be left out.

    Raises:
        Inconsistent: they cannot all be true, and nothing may be left out or says which is the least sure.
    """
    places, said = list(links), list(links.values())
    if wrong := list(misfits(events, said)):
        raise Inconsistent("; ".join(wrong[:_NAMED]))
    broken = "; ".join(contradictions(events, said))
    if not broken:
        return links, ()
    if sure is None:
        raise Inconsistent(broken)
    known = [each for at in places if (each := sure[at]) is not None]
    mended = repair(said, known) if len(known) == len(said) else None
    if mended is None or mended.tied:
        raise Inconsistent(f"{broken}; and nothing says which of them is the least sure")
    left_out = tuple(
        f"links[{places[at]}]: {_in_words(said[at], events)} (confidence {known[at]:.3g}) was left out: it cannot be "
        "true together with surer links"
        for at in mended.dropped
    )
    return {places[at]: said[at] for at in mended.kept}, left_out


def merged(stories: Sequence[tuple[Story, float]], *, renumbered: bool) -> Story | None:
    """Return the events and links with more than half of the weight, `None` where something has just half.

    Links that each have more than half can still contradict each other, three by three (Condorcet 1785): those of the
    least weight are left out, and a tie between them is a tie. Events are `renumbered` or have the ids that they have.
    """
    parts = majority([([event.part for event in story.events.values()], weight) for story, weight in stories])
    links = majority([(list(story.by_place()), weight) for story, weight in stories])
    if parts is None or links is None:
        return None
    named = {event.part: each for story, _ in stories for each, event in story.events.items()}
    ids = {part: f"E{at + 1}" if renumbered else named[part] for at, part in enumerate(sorted(parts))}
    events: dict[str, Event] = {}
    for part, each in ids.items():
        time = heaviest(
            (event.time or (), weight)
            for story, weight in stories
            for event in story.events.values()
            if event.part == part
        )
        if time is None:
            return None
        events[each] = Event(part, Part(*time) if time else None)
    links.sort()
    weights = [math.fsum(weight for story, weight in stories if link in story.by_place()) for link in links]
    said = [Link(ids[one], ids[other], relation) for one, other, relation in links]
    mended = repair(said, weights)
    return None if mended.tied else Story(events, tuple(said[at] for at in mended.kept))


def _in_words(link: Link, events: Mapping[str, Event]) -> str:
    """Return a link with the words of its events, for messages."""
    source, target = (f"{each} ({clip(' '.join(events[each].part.text.split()), 60)})" for each in link[:2])
    return f"{source} {link.relation} {target}"
