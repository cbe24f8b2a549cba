"""The verbs. Each reads its arguments, calls one method of `Project` and shows what it returns."""

import os
import sys
from dataclasses import replace
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postil._version import __version__
from postil.cli.terminal import Terminal, notes_from_log

if TYPE_CHECKING:  # `--help` should not wait for them
    from postil.errors import PostilError
    from postil.project import Project

app = typer.Typer(
    name="postil",
    help="Labels from language models that you can defend.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

ProjectDir = Annotated[Path, typer.Option("--project", help="Folder of the project.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
AnnotatorName = Annotated[
    str | None, typer.Option("--annotator", help="Which annotator; the first of postil.toml without it.")
]
HERE = Path()


class Lost(StrEnum):
    """What becomes of requests of earlier runs whose fate is not known."""

    RESEND = "resend"
    HOLD = "hold"
    ASK = "ask"


class OnInterrupt(StrEnum):
    """What the first Ctrl-C does."""

    DRAIN = "drain"
    DROP = "drop"


# As text: `--help` does not wait for the formats themselves; a test compares.
OURS = "jsonl, json, csv, tsv, parquet."
READ = "label-studio, prodigy, doccano, argilla, conll, brat, docbin, hugging-face, trl, openai, autolabel"
WRITTEN = "label-studio, prodigy, doccano, argilla, conll, brat, docbin, hugging-face, trl, openai"


def main() -> None:
    """Run the command line and exit; exit codes are those of `docs/first-steps.md`."""
    # A terminal that cannot show a character shows its escape: a name must not stop a run.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    terminal = Terminal(as_json="--json" in sys.argv[1:])
    with notes_from_log(terminal):
        code = _run(terminal)
    sys.exit(code)


def _run(terminal: Terminal) -> int:
    from postil.errors import PostilError  # noqa: PLC0415

    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except PostilError as error:
        return _error(terminal, error)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except (BrokenPipeError, SystemExit):
        # The reader of our output has left, as `head` does: nothing more to say, and nowhere to say it. Typer exits
        # by itself then, and only then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Whatever the system refuses, a full disk or a folder that may not be written, is no defect of ours.
        terminal.error(str(error))
        terminal.result({"stopped": "system", "error": str(error)})
        return 3
    except Exception as error:
        return _usage_error(error)
    return code if isinstance(code, int) else 0


def _error(terminal: Terminal, error: "PostilError") -> int:
    """Show an error and return the exit code; programs get an object wherever something may have been done."""
    from postil.errors import EngineError, InputError  # noqa: PLC0415

    terminal.error(str(error))
    if not isinstance(error, InputError):
        terminal.result({"stopped": "provider" if isinstance(error, EngineError) else "journal", "error": str(error)})
    return error.exit_code


def _usage_error(error: Exception) -> int:
    """Show an error of the command line's own; anything else is a defect and goes on up."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postil {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    """Labels from language models that you can defend."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put the project.")] = Path("postil-demo"),
    json: Json = False,
) -> None:
    """The whole loop on shipped real data with the embedded model; no key, no network."""
    from postil.cli.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(folder, Terminal(as_json=json)))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    items: Annotated[Path | None, typer.Option(help="Records: jsonl, csv, tsv, json or parquet.")] = None,
    kind: Annotated[str, typer.Option(help="What is asked for: classification, spans, rating, …")] = "classification",
    labels: Annotated[str | None, typer.Option(help="Labels, separated by commas; else those of the gold.")] = None,
    text: Annotated[str | None, typer.Option(help="The field that is shown.")] = None,
    gold: Annotated[str | None, typer.Option(help="The field, or the file, with human answers.")] = None,
    instruction: Annotated[str | None, typer.Option(help="The question, in your words.")] = None,
    id_field: Annotated[str | None, typer.Option("--id", help="The field with the id.")] = None,
    scale: Annotated[str, typer.Option(help="For a rating: lowest and highest point.")] = "1-5",
    engine: Annotated[str, typer.Option(help='"local", "local:PATH.gguf" or "openai".')] = "local",
    base_url: Annotated[str | None, typer.Option(help="For openai: where the server is.")] = None,
    model: Annotated[str | None, typer.Option(help="For openai: the model's name.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The variable that holds the key; never the key.")] = None,
    shots: Annotated[int | None, typer.Option(help="Demonstrations in a prompt; 8 where there is gold.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="One more key of [task], as KEY=VALUE; repeatable.")] = None,
    json: Json = False,
) -> None:
    """Write a project: postil.toml and its journal. Asks when it is a terminal, never when it is not."""
    from postil.cli.first_task import Wanted  # noqa: PLC0415
    from postil.cli.init import make_project  # noqa: PLC0415

    wanted = Wanted(
        items,
        kind,
        labels,
        text,
        gold,
        instruction,
        id_field,
        scale,
        engine,
        base_url,
        model,
        api_key_env,
        shots,
        tuple(option or ()),
    )
    make_project(folder, wanted, Terminal(as_json=json))


@app.command()
def plan(
    annotator: AnnotatorName = None,
    probe: Annotated[int, typer.Option(min=0, help="Label this many records first, to measure pace and cost.")] = 0,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """What a run would cost, take and reach; spends nothing without --probe."""
    from postil.cli import shown  # noqa: PLC0415

    with _open(project) as opened:
        shown.plan(Terminal(as_json=json), opened.plan(annotator, probe=probe))


@app.command()
def preview(
    annotator: AnnotatorName = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many records.")] = 5,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """A few records first: the exact prompt, the reply, the answer. Their replies are kept."""
    from postil.cli import shown  # noqa: PLC0415

    with _open(project) as opened:
        raise typer.Exit(shown.previews(Terminal(as_json=json), opened.preview(annotator, n=n), opened.task))


@app.command()
def annotate(
    annotator: AnnotatorName = None,
    limit: Annotated[int | None, typer.Option(min=0, help="At most this many records.")] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Dollars, instead of [budget] usd.")] = None,
    retry_failed: Annotated[
        str | None,
        typer.Option(metavar="CLASSES", help='Ask anew about records that failed: "all", or classes with commas.'),
    ] = None,
    lost: Annotated[
        Lost | None, typer.Option(help="Requests of earlier runs whose fate is not known; else as in postil.toml.")
    ] = None,
    on_interrupt: Annotated[
        OnInterrupt, typer.Option(help="Whether Ctrl-C lets requests in flight end, or drops them.")
    ] = OnInterrupt.DRAIN,
    batch: Annotated[bool, typer.Option("--batch", help="Hand requests over in files, answered within a day.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="With --batch: submit; the next run collects.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Label the records that have no outcome yet, or go on where it stopped."""
    from postil.cli import shown  # noqa: PLC0415
    from postil.cli.signals import stopped_by_signals  # noqa: PLC0415
    from postil.cli.words import progress_line  # noqa: PLC0415
    from postil.errors import SettingsError  # noqa: PLC0415

    if no_wait and not batch:
        raise SettingsError("--no-wait goes with --batch: live requests are always waited for")
    terminal = Terminal(as_json=json)
    drops = on_interrupt is OnInterrupt.DROP
    with _open(project) as opened, stopped_by_signals(terminal, drops=drops) as on_start:
        budget = opened.settings.budget.budget()
        if budget_usd is not None:
            budget = replace(budget, usd=budget_usd)
        result = opened.annotate(
            annotator,
            limit=limit,
            budget=budget,
            retry_failed=_classes(retry_failed),
            lost=None if lost is None else lost.value,
            decide=shown.decision(terminal),
            lane=("submit" if no_wait else "batch") if batch else "live",
            on_progress=lambda progress: terminal.progress(progress_line(progress)),
            on_start=on_start,
        )
    terminal.end_progress()
    raise typer.Exit(shown.annotated(terminal, result, limited=limit is not None, submitting=no_wait))


def _classes(words: str | None) -> bool | list[str]:
    if words is None or words == "all":
        return words is not None
    return [word.strip() for word in words.split(",") if word.strip()]


@app.command()
def status(annotator: AnnotatorName = None, project: ProjectDir = HERE, json: Json = False) -> None:
    """Records by state, money, gold roles, open intents."""
    from postil.cli import shown  # noqa: PLC0415

    with _open(project) as opened:
        shown.status(Terminal(as_json=json), opened.status(annotator))


@app.command()
def assess(
    annotator: AnnotatorName = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the report too.")] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Every figure that the task's kind has, with intervals."""
    from postil.cli import shown  # noqa: PLC0415

    terminal = Terminal(as_json=json)
    with _open(project) as opened:
        headline = None if report is None else opened.report(report, annotator)
        shown.assessment(terminal, opened.assess(annotator))
    if headline is not None:
        terminal.note(f"{headline}\nreport: {report}")


@app.command()
def learn(
    what: Annotated[str, typer.Argument(metavar="student")],
    annotator: AnnotatorName = None,
    name: Annotated[str | None, typer.Option(help="Folder under students/; the teacher's name without it.")] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """What the labels are for: train a student and measure it beside its teacher."""
    from postil.cli import shown  # noqa: PLC0415

    with _open(project) as opened:
        shown.learned(Terminal(as_json=json), opened.learn(what, annotator, name=name))


@app.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder of a format that is one.")],
    annotator: Annotated[str | None, typer.Option("--annotator", help="Whose annotations these are.")] = None,
    format: Annotated[str | None, typer.Option(help=f"{OURS} Or of another tool: {READ}.")] = None,  # noqa: A002
    by: Annotated[str | None, typer.Option(help="Whose answers in the file, where it has those of several.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="For a new project out of a configuration, autolabel or spacy-llm: its data.")
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Annotations made elsewhere, under a name of their own; or a project out of another tool's configuration."""
    from postil.cli import importing  # noqa: PLC0415

    terminal = Terminal(as_json=json)
    if items is not None or format == "spacy-llm":
        importing.make_project(terminal, project, path, items=items, format=format, part=by, annotator=annotator)
    else:
        importing.annotations(terminal, project, path, format=format, by=by, annotator=annotator)


@app.command()
def export(
    path: Annotated[str, typer.Argument(metavar="PATH", help='A file, a new folder, or "-" for stdout.')],
    format: Annotated[str | None, typer.Option(help=f"{OURS} Or of another tool: {WRITTEN}.")] = None,  # noqa: A002
    annotator: AnnotatorName = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """One line a record: fields, outcome, answer, confidence, and where it came from."""
    from postil.errors import SettingsError  # noqa: PLC0415

    if json and path == "-":
        raise SettingsError("the path - and --json would both write to stdout", hint="leave one of them out")
    terminal = Terminal(as_json=json)
    with _open(project) as opened:
        written = opened.export(path, annotator, format=format)
    if path != "-":
        terminal.note(f"{written} records exported to {path}")
    terminal.result({"path": path, "records": written})


@app.command()
def verify(project: ProjectDir = HERE, json: Json = False) -> None:
    """Derive every label and cost again from the journal, offline."""
    from postil.cli import shown  # noqa: PLC0415

    with _open(project) as opened:
        raise typer.Exit(shown.verified(Terminal(as_json=json), opened.verify()))


def _open(folder: Path) -> "Project":
    from postil.project import Project  # noqa: PLC0415

    return Project(folder)
