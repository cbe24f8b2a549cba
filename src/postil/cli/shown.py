"""What each verb shows: a few lines and tables for people, one JSON object for programs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from postil.cli.terminal import Terminal
from postil.cli.words import count, dollars, duration, failures, interval
from postil.errors import RunFatal
from postil.project.output import assessment_json
from postil.project.planning import Plan
from postil.project.running import AnnotateResult, Preview
from postil.project.verifying import Verification
from postil.runner.lost import OpenRequests
from postil.tasks import Task
from postil.tasks.reading import clip
from postil.types import Abstention, Annotation, Assessment, Failure

if TYPE_CHECKING:  # numpy comes with it
    from postil.project.students import StudentResult

OK: Final = 0
FELL_SHORT: Final = 1
STOPPED: Final = 3
INTERRUPTED: Final = 130

_LONGEST_EXAMPLE: Final = 240


def annotated(terminal: Terminal, result: AnnotateResult, *, limited: bool, submitting: bool = False) -> int:
    """Show how a run ended and return the exit code; one that only submits, or only to a limit, leaves records."""
    terminal.say(
        f"{count(result.labelled)} of {count(result.records)} records labelled; "
        f"{count(result.abstained)} abstained, {count(result.failed)} failed, {count(result.pending)} pending"
    )
    if result.failures:
        terminal.say(f"failures: {failures(result.failures)} (--retry-failed asks again)", style="yellow")
        for failure_class, example in result.failure_examples.items():
            terminal.say(f"  {failure_class}, as {clip(example, _LONGEST_EXAMPLE)}", style="yellow")
    terminal.say(
        f"{count(result.requests)} requests ({count(result.resent)} resent), "
        f"{count(result.input_tokens)} tokens in ({count(result.cached_tokens)} cached), "
        f"{count(result.output_tokens)} out, {dollars(result.usd)}, {duration(result.seconds)}"
    )
    _unseen(terminal, result.unseen_usd)
    if result.held:
        terminal.say(
            f"{count(result.held)} records held: their requests are in a batch, or may have been paid for "
            "(--lost resend asks those again)",
            style="yellow",
        )
    if result.stopped:
        mended = "once that is mended, " if isinstance(result.error, RunFatal) else ""
        terminal.note(f"stopped: {result.stopped}; {mended}run the same command again to go on")
    if result.error is not None:
        terminal.error(str(result.error))
    terminal.result(result.to_json())
    if result.stopped == "interrupted":
        return INTERRUPTED
    if result.stopped:
        return STOPPED
    if submitting and result.pending:
        terminal.note("handed over; run the same command again later to collect the answers")
    left_by_choice = limited or (submitting and not result.held)
    return FELL_SHORT if result.failed or (result.pending and not left_by_choice) else OK


def decision(terminal: Terminal) -> Callable[[OpenRequests], bool] | None:
    """Return what asks a person whether requests that may have been paid for are sent again, if a person is there."""
    if terminal.as_json or not sys.stdin.isatty():
        return None

    def decide(found: OpenRequests) -> bool:
        cost = "" if found.usd is None else f", and may have cost up to {dollars(found.usd)}"
        terminal.note(f"{count(found.requests)} requests of earlier runs have no known outcome{cost}")
        return typer.confirm("Send them again?", default=False, err=True)

    return decide


def _unseen(terminal: Terminal, usd: float) -> None:
    """Say what lost replies may have cost: they were asked for, and nobody knows whether they were billed."""
    if usd:
        terminal.say(f"up to {dollars(usd)} more for replies that were lost on the way", style="yellow")


def plan(terminal: Terminal, ahead: Plan) -> None:
    """Show what is ahead."""
    terminal.result(ahead.to_json())
    terminal.say(f"annotator {ahead.annotator}: {count(ahead.pending)} of {count(ahead.records)} records to label")
    each = ahead.prompt_tokens
    if each is not None:
        terminal.say(
            f"prompts     {each.value:.0f} tokens on average ({each.low:.0f} to {each.high:.0f}, n = {each.n})"
        )
    known = f"{count(ahead.output_tokens)} out (n = {ahead.measured} replies)"
    written = known if ahead.measured else f"at most {count(ahead.output_tokens)} out"
    terminal.say(f"tokens      {count(ahead.input_tokens)} in, {written}")
    if ahead.prior_requests:
        terminal.say(f"prior       measured first, with {count(ahead.prior_requests)} of these requests")
    dated = f" (prices of {ahead.price_date})" if ahead.price_date and ahead.usd is not None else ""
    terminal.say(f"cost        {dollars(ahead.usd)}{dated}")
    for name, words in (("cached", "if as much is cached as before"), ("batch", "in batches, within a day: --batch")):
        if (lane := ahead.lanes.get(name)) is not None and lane.usd is not None:
            terminal.say(f"            {dollars(lane.usd)} {words}")
    unknown = "" if ahead.seconds is not None else "; --probe 20 measures it"
    terminal.say(f"time        {duration(ahead.seconds)}{unknown}")
    reached = ahead.accuracy
    words = f"{ahead.metric} {interval(reached)} (n = {reached.n})" if reached else "unknown: no gold labelled yet"
    terminal.say(f"quality     {words}")
    if ahead.unusable:
        terminal.say(f"{count(ahead.unusable)} records cannot be asked about", style="yellow")


def previews(terminal: Terminal, seen: Sequence[Preview], task: Task) -> int:
    """Show prompts, replies and answers, and return the exit code."""
    terminal.result({"previews": [each.to_json() for each in seen]})
    for each in seen:
        terminal.say(f"── record {each.record.id}", style="bold")
        for at, exchange in enumerate(each.exchanges, 1):
            if len(each.exchanges) > 1:
                terminal.say(f"─ request {at} of {len(each.exchanges)}", style="bold")
            for message in exchange.messages:
                terminal.say(f"[{message.role}]", style="cyan")
                terminal.say(message.content)
            if exchange.reply is not None and not _says_reply(each):
                terminal.say("[reply]", style="cyan")
                terminal.say(exchange.reply)
        terminal.say(f"→ {_in_words(each, task)}", style="green")
        terminal.say("")
    if any(each.outcome is None for each in seen):
        terminal.note("stopped: budget")
        return STOPPED
    return OK


def _says_reply(each: Preview) -> bool:
    """Return whether the one reply there was stands in the line of the answer: most are a word."""
    return len(each.exchanges) == 1 and isinstance(each.outcome, Annotation)


def _in_words(each: Preview, task: Task) -> str:
    outcome = each.outcome
    match outcome:
        case Annotation():
            confidence = f", confidence {outcome.confidence.value:.3f}" if outcome.confidence else ""
            loosely = {part: how for part, how in (outcome.placings or {}).items() if how != "exact"}
            placed = "".join(f", {part} placed by {how}" for part, how in loosely.items())
            reply = f" (reply: {each.reply!r})" if _says_reply(each) else ""
            return f"{task.describe(outcome.answer)}{confidence}{placed}{reply}"
        case Abstention():
            return f"abstained: {outcome.reason}"
        case Failure():
            return f"failed, {outcome.failure_class}: {outcome.message}"
        case None:
            return "not asked: the budget is spent"


def status(terminal: Terminal, state: Mapping[str, Any]) -> None:
    """Show where a project is."""
    terminal.result(state)
    if state["annotator"]:
        terminal.say(f"annotator {state['annotator']}")
    for key in ("records", "labelled", "abstained", "failed", "pending", "open_intents"):
        terminal.say(f"{key.replace('_', ' '):<13}{count(state[key]):>10}")
    if state["open_intents"]:
        terminal.say("open intents are requests whose reply was never seen; each may have been billed", style="yellow")
    if state["stopped"]:
        terminal.say(f"the last run stopped: {state['stopped']}", style="yellow")
    if state["failures"]:
        terminal.say(f"failures: {failures(state['failures'])}", style="yellow")
    terminal.say(f"{'spent':<13}{dollars(state['usd']):>10}")
    _unseen(terminal, state["unseen_usd"])
    roles = ", ".join(f"{number} {role}" for role, number in sorted(state["gold"].items()))
    terminal.say(f"gold: {roles or 'none'}")


def assessment(terminal: Terminal, found: Assessment) -> None:
    """Show every figure of one annotator."""
    terminal.result(assessment_json(found))
    assessments(terminal, [found])


def assessments(terminal: Terminal, found: list[Assessment]) -> None:
    """Show the figures of annotators measured on the same gold, side by side."""
    first = found[0]
    if first.coverage is not None:
        terminal.say(f"{first.task}: measured on {count(first.gold)} gold records never shown in a prompt")
    names = list(dict.fromkeys(name for one in found for name in one.metrics if _tells(one, name)))
    if names:
        columns = {"metric": "left"} | {f"{one.annotator} (95 % interval)": "left" for one in found} | {"n": "right"}
        rows = [
            (
                name,
                *(interval(one.metrics[name]) if name in one.metrics else "–" for one in found),
                str(next(one.metrics[name].n for one in found if name in one.metrics)),
            )
            for name in names
        ]
        terminal.table("", columns, rows)
    for note in dict.fromkeys(note for one in found for note in one.notes):
        terminal.say(f"note: {note}", style="yellow")


def _tells(found: Assessment, name: str) -> bool:
    """Return whether a figure says more than accuracy does: with no answer missing, its bounds do not."""
    bounds = {"accuracy_all", "accuracy_lower_bound", "accuracy_upper_bound"}
    return name not in bounds or found.metrics[name].value != found.metrics["accuracy"].value


def learned(terminal: Terminal, result: "StudentResult") -> None:
    """Show a student beside its teacher."""
    terminal.result(result.to_json())
    terminal.say(
        f"student saved in {result.path}: learned from {count(result.trained_on)} annotations of "
        f"{result.teacher} and {count(result.gold_used)} gold demonstrations"
    )
    assessments(terminal, [result.teacher_assessment, result.student_assessment])
    if result.difference is not None:
        rated = "accuracy" not in result.student_assessment.metrics
        what = "mean absolute error (below 0: the student is nearer)" if rated else "accuracy"
        terminal.say(f"student minus {result.teacher}, {what}, paired: {interval(result.difference)}")
    for note in result.notes:
        terminal.say(f"note: {note}", style="yellow")
    terminal.say(f'to label with it: engine = "{result.engine}"')


def verified(terminal: Terminal, found: Verification) -> int:
    """Show what was checked and every problem, and return the exit code."""
    terminal.result(found.to_json())
    for what, times in found.checked.items():
        terminal.say(f"{times:>9,}  {what}")
    for problem in found.problems:
        terminal.say(problem, style="red")
    found_wrong = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
    terminal.say(
        "all right" if found.ok else f"{found_wrong}: rows were changed after they were written, or are damaged"
    )
    return OK if found.ok else FELL_SHORT
