"""A record's whole inquiry in a test: every request that is made, and how it ends, without a run around it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from postil.engines.scripted import ScriptedEngine
from postil.project.annotators import build_annotator, described
from postil.runner import Interview
from postil.tasks import Task
from postil.types import CandidateSelector, Capabilities, Completion, Demonstration, Outcome, Record, Request, Usage


def interviewed(
    task: Task,
    record: Record,
    reply: Callable[[Request], str | Completion],
    *,
    capabilities: Capabilities | None = None,
    demonstrations: Sequence[Demonstration] = (),
    candidates: int | CandidateSelector | None = None,
) -> tuple[Outcome, list[Request]]:
    """Ask about a record until there is an outcome."""
    engine = ScriptedEngine(lambda _: "", capabilities=capabilities)
    options: dict[str, object] = {"shots": len(demonstrations), "demonstrations": "fixed"}
    if candidates is not None:
        options["candidates"] = candidates if isinstance(candidates, int) else 0
    annotator = build_annotator("double", described(engine, options), task, engine, demonstrations)
    if candidates is not None and not isinstance(candidates, int):
        annotator = replace(annotator, candidates=candidates)
    interview = Interview(annotator, record)
    asked: list[Request] = []
    while interview.asked is not None:
        asked.append(interview.asked.request)
        said = reply(asked[-1])
        interview.take(said if isinstance(said, Completion) else Completion(said, "stop", Usage(1, 1)))
    assert interview.outcome is not None
    return interview.outcome, asked
