"""One-line faults in our own source, each of which a test must catch (H10): the test of the tests.

A fault is planted in a copy of the source, and only the tests that are meant to catch it are run on the copy. Where the
source has changed so that an old line is not there exactly once any more, the quick tier says so.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src"
_SECONDS: Final = 120

Outcome = Literal["caught", "missed", "no tests", "stale"]

_T: Final = "tests/torture"
SCHEDULES: Final = f"{_T}/test_schedules.py::test_two_hundred_seeds_keep_every_invariant"
POWER: Final = f"{_T}/test_crash_states.py::test_five_hundred_crash_states_keep_what_was_acknowledged"
BAD_RECORD: Final = f"{_T}/test_faults.py::test_one_bad_record_among_good_ones"
BUDGET: Final = f"{_T}/test_faults.py::test_a_budget_for_so_many_and_a_half_buys_so_many_and_no_more"
ASKED_ANEW: Final = f"{_T}/test_provenance.py::test_a_change_of_what_is_asked_is_asked_anew"
EDITS: Final = f"{_T}/test_provenance.py::test_an_edit_of_any_column_of_any_table_is_found"
EXPORTS: Final = f"{_T}/test_kills.py::test_killed_in_an_export_the_file_is_the_old_or_the_new_one"
FULL_EXPORTS: Final = f"{_T}/test_kills.py::test_a_disk_that_fails_leaves_the_old_export"
HELD: Final = f"{_T}/test_lost.py::test_hold_pays_nothing_twice_and_says_what_it_left"
NASTY: Final = f"{_T}/test_nasty.py"
BATCHES: Final = f"{_T}/test_batches.py"
CANARIES: Final = f"{_T}/test_canaries.py"


@dataclass(frozen=True)
class Sabotage:
    """A fault, and the tests that must turn red."""

    name: str
    file: str
    """Below src/postil."""
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file that is changed."""
        return SOURCE / "postil" / self.file

    def fits(self) -> bool:
        """Return whether the line to change is there exactly once."""
        return self.path.read_text(encoding="utf-8").count(self.old) == 1


def _in(file: str, *faults: tuple[str, str, str, str]) -> Iterable[Sabotage]:
    return (Sabotage(name, file, old, new, (test,)) for name, old, new, test in faults)


SABOTAGES: Final[Sequence[Sabotage]] = (
    *_in(
        "store/connection.py",
        ("commits are not synced", "synchronous = FULL", "synchronous = OFF", POWER),
        (
            "commits are synced now and then",
            "WAL; PRAGMA synchronous = FULL",
            "WAL; PRAGMA synchronous = NORMAL",
            POWER,
        ),
        (
            "an affected SQLite may use its log",
            "return release >= (3, 51, 3) or",
            "return release >= (3, 7, 0) or",
            f"{_T}/test_disk.py::test_the_releases_whose_log_may_lose_commits_are_known",
        ),
    ),
    *_in(
        "store/group_commit.py",
        (
            "results go to whoever waits, not to whom they belong",
            "(future, None if error else results[i])",
            "(future, None if error else results[-1 - i])",
            SCHEDULES,
        ),
        (
            "a failed commit is tried again",
            "if self._broken is None:\n            try:",
            "if True:\n            try:",
            "tests/store/test_group_commit.py",
        ),
        ("a second outcome is added", "first_holds=True", "first_holds=False", "tests/store/test_group_commit.py"),
    ),
    *_in(
        "store/sealing.py",
        ("rows are sealed one by one", "row = sealed(self._seal, (", 'row = sealed("", (', SCHEDULES),
        (
            "half a character is replaced",
            'return value.encode("utf-8", "surrogatepass")',
            'return value.encode("utf-8", "replace").decode()',
            "tests/store/test_sealing.py",
        ),
    ),
    *_in(
        "store/journal.py",
        (
            "two runs at once",
            'lock.execute("BEGIN EXCLUSIVE")',
            'lock.execute("BEGIN")',
            f"{_T}/test_faults.py::test_eight_runs_at_once_spend_one_budget",
        ),
        (
            "records of one id are merged unseen",
            "elif earlier[0][0] == fingerprint:",
            "elif earlier:",
            f"{NASTY}::test_a_file_that_cannot_be_taken_is_refused_before_anything_is_spent[two records of one id]",
        ),
    ),
    *_in(
        "store/queries.py",
        ("open requests cost nothing", "math.fsum((usd, *(most for _, most in left)))", "usd", SCHEDULES),
    ),
    *_in(
        "store/rows.py",
        (
            "a timeout is never billed",
            "MAY_BE_BILLED: Final = (ConnectionLost, AttemptTimedOut, BrokenReply)",
            "MAY_BE_BILLED: Final = (ConnectionLost, BrokenReply)",
            SCHEDULES,
        ),
        (
            "a lost connection is never billed",
            "MAY_BE_BILLED: Final = (ConnectionLost, AttemptTimedOut, BrokenReply)",
            "MAY_BE_BILLED: Final = (AttemptTimedOut, BrokenReply)",
            SCHEDULES,
        ),
    ),
    *_in(
        "runner/asking.py",
        ("what was answered is asked again", "if question.digest in self._answered:", "if False:", SCHEDULES),
        ("twins are asked about at once", "if question.digest in self._in_flight:", "if False:", SCHEDULES),
        (
            "lost replies cost nothing",
            "if maybe_paid:\n            self._ledger.lose(sent.worst)",
            "if False:\n            self._ledger.lose(sent.worst)",
            SCHEDULES,
        ),
        ("no room in the budget is needed", "if not await self._ledger.reserve(worst):", "if False:", SCHEDULES),
        (
            "what came is not counted",
            "self._ledger.settle(sent.worst, completion.usage)",
            "self._ledger.settle(sent.worst)",
            BUDGET,
        ),
        (
            "a reply is kept without its outcome",
            "await self._journal.write_reply(reply, outcome, sent.question.revision)",
            "await self._journal.write_reply(reply)",
            SCHEDULES,
        ),
        (
            "a shared reply is nobody's",
            "await self._journal.write_outcome(outcome, answered.intent, question.revision)",
            "await self._journal.write_outcome(outcome, None, question.revision)",
            SCHEDULES,
        ),
        ("held requests are sent", "if question.digest in self._held:", "if False:", HELD),
        (
            "a request is noted under the run before",
            "            self.run,\n            self._annotator,",
            "            self.run - 1,\n            self._annotator,",
            EDITS,
        ),
        (
            "the wrong record is noted",
            "            question.record,\n            question.purpose,",
            '            "r0",\n            question.purpose,',
            SCHEDULES,
        ),
        (
            "a broken server fails a record",
            "last = not (again or down or isinstance(error, RunFatal))",
            "last = not (again or down)",
            f"{_T}/test_faults.py::test_a_bad_key_or_an_empty_account_stops_the_run_and_fails_no_record",
        ),
    ),
    *_in(
        "runner/retries.py",
        (
            "one attempt too many",
            "if attempt >= attempts or",
            "if attempt > attempts or",
            f"{BAD_RECORD}[500]",
        ),
        (
            "every error is tried again",
            "return isinstance(error, Transient) or",
            "return True or",
            f"{BAD_RECORD}[400_length]",
        ),
        (
            "lost replies are sent again though held",
            'self.lost == "hold" and',
            'self.lost == "held" and',
            f"{_T}/test_lost.py::test_lost_replies_of_a_provider_are_held_too",
        ),
    ),
    *_in(
        "runner/gate.py",
        (
            "a daily limit fails record after record",
            "self._limits.breaker.hopeless or self._limits.closed",
            "self._limits.breaker.hopeless",
            f"{_T}/test_faults.py::test_a_daily_limit_stops_the_run_and_fails_no_record",
        ),
    ),
    *_in(
        "runner/money.py",
        (
            "requests in flight cost nothing",
            "self.usd + reserved_usd + worst.usd <=",
            "self.usd + worst.usd <=",
            SCHEDULES,
        ),
        (
            "an earlier run's losses are forgotten",
            "self.usd = (spent.usd or 0.0) + unseen.usd",
            "self.usd = spent.usd or 0.0",
            SCHEDULES,
        ),
        (
            "a budget begins anew with every run",
            "self.usd = (spent.usd or 0.0) + unseen.usd",
            "self.usd = 0.0",
            SCHEDULES,
        ),
        (
            "one request too many",
            "self.requests >= budget.requests",
            "self.requests > budget.requests",
            "tests/runner/test_money.py",
        ),
        (
            "output costs what input costs",
            "usage.output_tokens * self.output) / 1e6",
            "usage.output_tokens * self.input) / 1e6",
            f"{_T}/test_checker.py",
        ),
    ),
    *_in(
        "runner/identity.py",
        ("the temperature makes no difference", "{float(request.temperature)!r}", "0.0", f"{ASKED_ANEW}[temperature]"),
        (
            "the limit on tokens makes no difference",
            '"max_tokens":{request.max_tokens:d}',
            '"max_tokens":0',
            f"{ASKED_ANEW}[max_tokens]",
        ),
        (
            "a seed makes no difference",
            'seed = "null" if request.seed is None else',
            'seed = "null" if True else',
            f"{ASKED_ANEW}[seed]",
        ),
    ),
    *_in(
        "runner/run.py",
        (
            "a stop is not heard between two records",
            "                self._halt.check()\n                await act(item)",
            "                await act(item)",
            "tests/runner",
        ),
    ),
    *_in(
        "engines/openai.py",
        (
            "the model makes no difference",
            '            "model": model,\n            "log_probs": log_probs,',
            '            "log_probs": log_probs,',
            f"{ASKED_ANEW}[model]",
        ),
        (
            "further parameters make no difference",
            '            "extra": self._extra,\n        }',
            "        }",
            f"{ASKED_ANEW}[extra]",
        ),
        (
            "the address makes no difference",
            '"base_url": base_url.rstrip("/"),',
            '"base_url": "somewhere",',
            f"{_T}/test_provenance.py::test_another_address_is_another_server",
        ),
        (
            "a reply that repeats the key is kept",
            "if len(key) >= _UNMISTAKABLE_KEY and key.encode() in received:",
            "if False:",
            f"{CANARIES}::test_a_reply_that_repeats_the_key_is_not_kept",
        ),
        (
            "a cut prompt is not noticed",
            "if too_few or self._lengths.is_cut(",
            "if False and self._lengths.is_cut(",
            f"{BAD_RECORD}[read_little]",
        ),
    ),
    *_in(
        "runner/submitted.py",
        (
            "what was collected is collected again",
            "if line.intent in unanswered}",
            "if line.intent}",
            f"{BATCHES}::test_killed_at_a_point_no_batch_is_submitted_twice[after the reply is kept-1]",
        ),
    ),
    *_in(
        "engines/batch.py",
        (
            "a batch does not say whose it is",
            '"metadata": {_METADATA: token},',
            '"metadata": {},',
            f"{BATCHES}::test_killed_at_a_point_no_batch_is_submitted_twice[after a batch was submitted-1]",
        ),
        (
            "failed requests of a batch are not read",
            'for key in ("output_file_id", "error_file_id")',
            'for key in ("output_file_id",)',
            f"{BATCHES}::test_a_batch_that_expires_loses_no_paid_answer",
        ),
    ),
    *_in(
        "engines/_wire.py",
        (
            "nothing ends a request that hangs",
            "deadline = asyncio.timeout(self.seconds)",
            "deadline = asyncio.timeout(10 * self.seconds)",
            f"{_T}/test_faults.py::test_hanging_requests_end_and_leak_no_slot",
        ),
    ),
    *_in(
        "engines/_replies.py",
        (
            "an unknown end is a good one",
            'return _FINISH.get(word, "length")',
            'return _FINISH.get(word, "stop")',
            f"{BAD_RECORD}[finish_unknown]",
        ),
        (
            "the last of several replies counts",
            "choice = choices[0]",
            "choice = choices[-1]",
            f"{BAD_RECORD}[several_choices]",
        ),
    ),
    *_in(
        "engines/_words.py",
        (
            "an error repeats the key",
            'text = self._exact.sub("***", text)',
            "pass",
            "tests/engines/test_words.py",
        ),
        (
            "an error repeats pieces of the key",
            'kept += text[end:at] + "***"',
            "kept += text[end : at + _WINDOW]",
            f"{CANARIES}::test_a_key_is_nowhere_after_an_error[401]",
        ),
    ),
    *_in(
        "tasks/reading.py",
        ("a reply that was cut is read", 'if completion.finish == "length":', "if False:", f"{BAD_RECORD}[length]"),
        (
            "a reply that was withheld is read",
            'if completion.finish == "filter":',
            "if False:",
            f"{BAD_RECORD}[content_filter]",
        ),
    ),
    *_in(
        "tasks/choice.py",
        (
            "the last of several answers counts",
            "if any(other not in (None, name) for other in before + between):",
            "if False:",
            f"{BAD_RECORD}[two_labels]",
        ),
    ),
    *_in(
        "canonical.py",
        (
            "an answer that is there twice is read",
            "if len(held) != len(pairs):",
            "if False:",
            f"{BAD_RECORD}[duplicate_keys]",
        ),
    ),
    *_in(
        "formats/replacing.py",
        (
            "an export is written in its place",
            "        yield temporary\n        _sync(temporary)\n",
            "        yield target\n        return\n",
            EXPORTS,
        ),
        ("an export is not synced", "        _sync(temporary)\n", "", FULL_EXPORTS),
        (
            "a failed export is left behind",
            "        temporary.unlink(missing_ok=True)\n",
            "        pass\n",
            FULL_EXPORTS,
        ),
    ),
    *_in(
        "project/verifying.py",
        (
            "answers are not derived again",
            'self._check("answers", derived, ',
            'self._check("answers", _essence(outcome), ',
            "tests/project/test_verifying.py",
        ),
        ("seals are not looked at", "for words in self._journal.broken_seals(table):", "for words in ():", EDITS),
        (
            "costs are not derived again",
            'self._check("costs", derived, reply.usd,',
            'self._check("costs", reply.usd, reply.usd,',
            "tests/project/test_verifying.py",
        ),
    ),
)


def outcome_of(sabotage: Sabotage, folder: Path) -> Outcome:
    """Plant a fault in a copy of the source, run its tests, and return what they said."""
    if not sabotage.fits():
        return "stale"
    copy = folder / "sabotaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "postil" / sabotage.file
    path.write_text(path.read_text(encoding="utf-8").replace(sabotage.old, sabotage.new), encoding="utf-8")
    code = _run(sabotage.tests, copy)
    if code == 0:
        return "missed"
    # A fault that makes tests hang is caught too, if late.
    return "caught" if code in (1, None) else "no tests"


def broken_tests(sabotages: Iterable[Sabotage]) -> list[str]:
    """Return those tests which are red without any fault."""
    tests = sorted({test for sabotage in sabotages for test in sabotage.tests})
    return [] if _run(tests, SOURCE) == 0 else [test for test in tests if _run([test], SOURCE) != 0]


def _run(tests: Sequence[str], source: Path) -> int | None:
    """Return the exit code of the tests on a source, `None` if they did not end: a fault may make things hang."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(source)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None
