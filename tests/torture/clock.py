"""Whole runs on a virtual clock (H5): one seed is one schedule of delays, faults, kills and interruptions.

The real runner, its ledger, its retries and the real journal run in an event loop whose clock jumps to the next timer
when nothing else is to do, so that hours of waiting take milliseconds. Commits are made by the loop itself instead of a
thread, after a delay that is drawn like every other. A kill is an event loop that is left where it stands: at any
`await` of any task. What is checked afterwards is checked by `checker.py`, which shares no code with the runner.
"""

import asyncio
import contextlib
import functools
import random
import selectors
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

import apsw

from postil.errors import (
    AttemptTimedOut,
    AuthenticationFailed,
    BrokenReply,
    ConnectionLost,
    ContextExceeded,
    EngineError,
    RateLimited,
    ServerFault,
)
from postil.prompts import Prompt
from postil.runner import Policy, Price, PromptedAnnotator, Runner
from postil.store import Journal
from postil.store.group_commit import GroupCommit
from postil.tasks.classification import Classification
from postil.types import JSON, Budget, Capabilities, Completion, FinishReason, Message, Record, Request, Usage
from tests.torture.checker import Evidence, check
from tests.torture.server import INPUT_PRICE, LABELS, NONCE, OUTPUT_PRICE, label_of, proof_of, share_of

TASK: Final = Classification("kind", "Which letter is it?", labels=LABELS)
PRICE: Final = Price(INPUT_PRICE, OUTPUT_PRICE)
_KEY: Final = b"key of the virtual server"
_LONGEST_WAIT: Final = 60.0
_LONGEST: Final = 7 * 86_400.0
_MOST_ROUNDS: Final = 20_000
_ENOUGH: Final = 1000.0
"""Dollars."""
_TURN: Final = 1e-6
"""Seconds that a turn of the loop takes: a clock that stood still would never reach what is a rounding error away."""
_ON_ITS_WAY: Final = 0.02
"""Seconds: a request whose intent was being written when a pause began may still leave."""


class HungError(Exception):
    """Nothing is to do, or always something, or next to nothing for a week: the run does not end (R15)."""


class Killed(KeyboardInterrupt):
    """The process is gone; a loop lets nothing else out of a callback."""


class _Selector(selectors.DefaultSelector):
    """Never waits: it moves the clock to the next timer instead."""

    now = 0.0
    rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; without anything, let the time pass."""
        ready = super().select(0)
        self.rounds += 1
        self.now += _TURN
        if (not ready and timeout is None) or self.rounds > _MOST_ROUNDS or self.now > _LONGEST:
            raise HungError
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now


class _InlineCommit(GroupCommit):
    """Commits in the loop, after a drawn delay; all else is as in the thread."""

    def __init__(self, path: Path, connection: apsw.Connection, *, rng: random.Random) -> None:
        with mock.patch("threading.Thread.start"):
            super().__init__(path, connection)
        alarm: Any = _Alarm(lambda: asyncio.get_running_loop().call_later(rng.random() * 0.004, self._drain))
        self._wake = alarm

    def _drain(self) -> None:
        if self._queue:
            self._settle([self._queue.popleft() for _ in range(len(self._queue))])

    def close(self) -> None:
        self._closed = True
        self._drain()
        self._connection.close()

    def abandon(self) -> None:
        """Let go of the file as a killed process does: what is queued is gone."""
        self._queue.clear()
        self._connection.close()


@dataclass(frozen=True)
class _Alarm:
    """In the place of what wakes the thread."""

    set: Callable[[], object]


End = Literal["kill", "interrupt", "budget", "deadline"]


@dataclass(frozen=True)
class Plan:
    """What a seed comes to."""

    seed: int
    records: int
    concurrency: int
    attempts: int
    repairs: int
    faults: Mapping[str, float]
    slow: float
    """The mean of a reply's delay, in seconds."""
    ends: Sequence[tuple[End, float]]
    """How the runs before the last one end, and when, or with how much of the budget."""
    retry_after: float | None


_FAULTS: Final = (
    *("server_fault", "rate_limited", "lost", "lost_unbilled", "timeout", "broken", "rejected"),
    *("length", "filter", "refusal", "off_set", "empty", "false"),
)


def plan_of(seed: int, records: int) -> Plan:
    """Draw a plan."""
    rng = random.Random(seed)
    chosen = rng.sample(_FAULTS, rng.randrange(len(_FAULTS)))
    share = rng.choice((0.0, 0.1, 0.3, 0.6)) / max(1, len(chosen))
    # Most of all what is hardest to get right: a budget after a kill.
    kinds: Sequence[End] = ("kill", "kill", "budget", "budget", "interrupt", "deadline")
    return Plan(
        seed,
        rng.randrange(max(1, records // 2), records + 1),
        rng.choice((1, 2, 4, 8, 16)),
        rng.choice((1, 2, 3, 5)),
        rng.choice((0, 1)),
        {fault: share * rng.uniform(0.5, 1.5) for fault in chosen} | ({"fatal": 0.01} if rng.random() < 0.1 else {}),
        rng.choice((0.0, 0.01, 1.0, 30.0)),
        [(rng.choice(kinds), rng.random()) for _ in range(rng.choice((0, 1, 2, 2, 3)))],
        rng.choice((None, 0.0, 0.5, 20.0, 1e9)),
    )


@dataclass
class VirtualServer:
    """An engine that answers by the plan, and keeps the books of the provider."""

    plan: Plan
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    billed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    attempts: Counter[str] = field(default_factory=Counter[str])
    in_flight: int = 0
    most_in_flight: int = 0
    pauses: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When a pause was asked for, and until when."""
    early: int = 0
    """Requests that came although a pause was on."""
    calm: bool = False

    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"engine": "virtual"}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many it will read: an estimate that is no higher lets a budget be spent to the last request."""
        return sum(len(message.content) for message in messages) // 4

    async def aclose(self) -> None:
        """Hold nothing."""

    async def complete(self, request: Request) -> Completion:
        """Answer or fail, as the seed says."""
        nonce = NONCE.findall(request.messages[1].content)[-1]
        self.attempts[nonce] += 1
        number, attempt = len(self.asked) + 1, self.attempts[nonce]
        body = {
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "temperature": request.temperature,
        }
        action = self._action(nonce, attempt)
        now = asyncio.get_running_loop().time()
        self.early += any(begun + _ON_ITS_WAY < now < until for begun, until in self.pauses)
        self.asked.append({"number": number, "nonce": nonce, "attempt": attempt, "action": action, "body": body})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._reply(request, nonce, number, action)
        finally:
            self.in_flight -= 1

    def _action(self, nonce: str, attempt: int) -> str:
        draw = share_of(self.plan.seed, nonce, attempt)
        for action, share in self.plan.faults.items():
            draw -= share
            if draw < 0 and not (self.calm and action == "fatal"):
                return action
        return "ok"

    async def _reply(self, request: Request, nonce: str, number: int, action: str) -> Completion:
        delay = self.plan.slow * -2 * (share_of(self.plan.seed, "delay", nonce, number) - 1) ** 3
        await asyncio.sleep(delay)
        if action in _UNBILLED:
            if action == "rate_limited":
                now = asyncio.get_running_loop().time()
                self.pauses.append((now, now + min(self.plan.retry_after or 0.0, _LONGEST_WAIT)))
                raise RateLimited("slow down", retry_after=self.plan.retry_after)
            raise _UNBILLED[action](action)
        proof = proof_of(_KEY, nonce) if action == "ok" else proof_of(_KEY, nonce, "wrong", str(number))
        label = label_of(proof_of(_KEY, nonce))
        written = request.max_tokens if action == "length" else 9
        usage = Usage(self.count_tokens(request.messages), written)
        usd = (usage.input_tokens * INPUT_PRICE + usage.output_tokens * OUTPUT_PRICE) / 1e6
        bill = {"number": number, "nonce": nonce, "action": action, "usd": usd}
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self.billed.append({**bill, **tokens, "proof": proof if action == "ok" else None})
        # Billed; now it is on its way, or is not.
        await asyncio.sleep(share_of(self.plan.seed, "back", nonce, number) * 0.02)
        if action in _LOST:
            raise _LOST[action](action)
        finish: FinishReason = _FINISH.get(action, "stop")
        text = {"empty": "", "off_set": "Label: purple", "false": f"proof-{proof}\nNo label comes to mind."}.get(
            action, f"proof-{proof}\nLabel: {label}"
        )
        return Completion(text, finish, usage, "virtual-1")


_UNBILLED: Final[Mapping[str, Callable[[str], EngineError]]] = {
    "server_fault": ServerFault,
    "rate_limited": RateLimited,
    "lost_unbilled": ConnectionLost,
    "rejected": ContextExceeded,
    "fatal": AuthenticationFailed,
}
_LOST: Final[Mapping[str, Callable[[str], EngineError]]] = {
    "lost": ConnectionLost,
    "timeout": AttemptTimedOut,
    "broken": BrokenReply,
}
_FINISH: Final[Mapping[str, FinishReason]] = {"length": "length", "filter": "filter", "refusal": "refusal"}


@dataclass
class Story:
    """What one seed came to."""

    seed: int
    problems: list[str] = field(default_factory=list[str])
    figures: Counter[str] = field(default_factory=Counter[str])
    schedule: tuple[tuple[str, int, str], ...] = ()
    """What was asked, in the order it was asked: equal seeds have equal ones."""
    ends: tuple[tuple[str, str], ...] = ()


def story_of(seed: int, *, records: int = 24) -> Story:
    """Live through a seed and return what came of it."""
    plan = plan_of(seed, records)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108 - memory is quick
    try:
        with _commits_in_the_loop(seed):
            return _lived(plan, folder)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _commits_in_the_loop(seed: int) -> Generator[None, None, None]:
    commit = functools.partial(_InlineCommit, rng=random.Random(seed + 1))
    with mock.patch("postil.store.journal.GroupCommit", commit):
        yield


def _lived(plan: Plan, folder: Path) -> Story:
    story, server = Story(plan.seed), VirtualServer(plan)
    items = _items(plan)
    journal = Journal(folder / "postil.db")
    journal.add_records((Record(id_, fields), "here") for id_, fields in items.items())
    _leave(journal)
    open_before = 0
    for kind, when in plan.ends:
        budget = _budget(kind, when, plan, server)
        _run(story, server, folder, kind, when, budget)
        evidence = Evidence(items, server.asked, server.billed, _KEY, budget_usd=budget.usd)
        found = check(folder, evidence)
        story.problems += found.problems
        left = found.figures["open"] - open_before
        open_before = found.figures["open"]
        most = plan.concurrency if kind == "kill" else 0
        if left > most:
            story.problems.append(f"I3: {left} intents were left open by a {kind}, at most {most} may be")
    server.calm = True
    _run(story, server, folder, "end", 0.0, Budget())
    found = check(folder, Evidence(items, server.asked, server.billed, _KEY, finished=True))
    story.problems += found.problems
    story.figures.update(found.figures)
    story.figures.update(_seen(server, plan))
    if server.most_in_flight > plan.concurrency:
        story.problems.append(f"{server.most_in_flight} requests in flight, at most {plan.concurrency} may be")
    story.schedule = tuple((line["nonce"], line["attempt"], line["action"]) for line in server.asked)
    return story


def _seen(server: VirtualServer, plan: Plan) -> dict[str, int]:
    bad = sum(line["proof"] is None and line["action"] not in _LOST for line in server.billed)
    answers = sum(line["action"] not in _LOST for line in server.billed)
    kills = sum(kind == "kill" for kind, _ in plan.ends)
    return {"bad_answers": bad, "answers": answers, "early": server.early, "kills": kills, "seeds": 1}


def _items(plan: Plan) -> dict[str, dict[str, str]]:
    """Return records; now and then one is a copy of another, for those share a reply."""
    rng = random.Random(plan.seed + 2)
    items: dict[str, dict[str, str]] = {}
    for number in range(plan.records):
        twin = rng.randrange(number) if number and rng.random() < 0.1 else number
        items[f"r{number}"] = {"text": f"Text {twin}, nonce-{plan.seed:08x}{twin:08x}."}
    return items


def _budget(kind: str, share: float, plan: Plan, server: VirtualServer) -> Budget:
    # Always one in dollars: what leaves without one is not counted against a later one.
    if kind == "deadline":
        return Budget(usd=_ENOUGH, seconds=share * (1 + plan.slow) * plan.records / plan.concurrency)
    if kind != "budget":
        return Budget(usd=_ENOUGH)
    spent = sum(line["usd"] for line in server.billed)
    each = (80 * INPUT_PRICE + 9 * OUTPUT_PRICE) / 1e6
    if plan.seed % 3 == 0:
        return Budget(usd=_ENOUGH, requests=len(server.asked) + int(share * plan.records))
    return Budget(usd=spent + share * plan.records * each / 3)


def _run(story: Story, server: VirtualServer, folder: Path, kind: str, when: float, budget: Budget) -> None:
    """Run once, until the end that is planned for it."""
    plan = server.plan
    journal = Journal(folder / "postil.db")
    task_prompt = Prompt.for_engine(TASK, server.capabilities)
    annotator = PromptedAnnotator("virtual", TASK, server, (task_prompt,), repairs=plan.repairs)
    journal.add_annotator(annotator.name, annotator.spec)
    policy = Policy(concurrency=plan.concurrency, attempts=plan.attempts)
    runner = Runner(journal, annotator, rng=random.Random(plan.seed), budget=budget, price=PRICE, policy=policy)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    moment = when * (0.05 + plan.slow) * max(1.0, plan.records / plan.concurrency)
    if kind == "kill":
        loop.call_later(moment, _kill)
    elif kind == "interrupt":
        loop.call_later(moment, runner.interrupt)
    pending = list(journal.pending(annotator.id))
    # A new process knows nothing of what an earlier one was asked.
    server.pauses.clear()
    try:
        loop.run_until_complete(runner.run(pending, len(pending)))
    except Killed:
        _forget(loop)
    except HungError:
        story.problems.append(f"hung at {loop.time():.1f} seconds with {server.in_flight} requests in flight")
        _forget(loop)
    finally:
        server.in_flight = 0
        asyncio.set_event_loop(None)
        loop.close()
        _leave(journal)


def _kill() -> None:
    raise Killed


def _forget(loop: VirtualLoop) -> None:
    """Drop all tasks where they stand. What they still do on the way out reaches nobody: the file is let go of."""
    for task in asyncio.all_tasks(loop):
        abandoned: Any = task
        abandoned._log_destroy_pending = False
        with contextlib.suppress(BaseException):
            abandoned.get_coro().close()


def _leave(journal: Journal) -> None:
    inside: Any = journal
    inside._writer.abandon()
    inside._connection.close()
