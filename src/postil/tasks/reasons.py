"""Reasons and evidence beside an answer, by option, for every kind that is answered as JSON (survey 0.02, 1.03).

Both stand before the answer in the reply's one object, so that the answer can follow from them. They are no part of
the answer: one that cannot be used is listed as rejected and changes nothing else, and evidence whose words are not
in the record is never shown as evidence (reliability A9).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from postil.errors import Ambiguous, NotFound
from postil.tasks import AnswerForm, CompoundTask, Language, Reading, Task
from postil.tasks.alignment import place
from postil.tasks.extraction import whole_confidence
from postil.tasks.reading import clip, complete_text, json_object
from postil.tasks.shown import Shown
from postil.types import JSON, Capabilities, Completion, Record

RATIONALE: Final = "rationale"
EVIDENCE: Final = "evidence"
REASON_KEYS: Final = (RATIONALE, EVIDENCE)
"""The fields of a reply that hold no part of the answer."""

_TOKENS: Final[Mapping[str, int]] = {RATIONALE: 256, EVIDENCE: 256}
_MOST: Final = 32
"""Pieces of evidence that are looked for; each costs a search in the text."""

_CONTRACTS: Final[Mapping[Language, Mapping[tuple[str, ...], str]]] = {
    "en": {
        (RATIONALE,): ' Before the answer the object has "rationale": the reasons for it in one or two sentences.',
        (EVIDENCE,): ' Before the answer the object has "evidence": a list of the words of the text that the answer'
        " rests on, copied exactly.",
        (RATIONALE, EVIDENCE): ' Before the answer the object has "rationale": the reasons for it in one or two'
        ' sentences, and "evidence": a list of the words of the text that the answer rests on, copied exactly.',
    },
    "zh": {
        (RATIONALE,): '对象里先写 "rationale"：用一两句话说明理由，然后才是答案。',
        (EVIDENCE,): '对象里先写 "evidence"：列出答案所依据的原文词句，逐字照抄，然后才是答案。',
        (RATIONALE, EVIDENCE): '对象里先写 "rationale"：用一两句话说明理由，再写 "evidence"：列出答案所依据的原文词句，'
        "逐字照抄，然后才是答案。",
    },
}


class Reasons(NamedTuple):
    """What a reply says beside its answer."""

    rationale: str
    evidence: tuple[Mapping[str, JSON], ...]
    """Spans of the record: `start`, `end`, `text`, and `field` where the task shows more than one."""
    rejected: tuple[str, ...]
    """What could not be used, with the reason."""


def with_reasons(schema: Mapping[str, JSON], *, rationale: bool, evidence: bool) -> Mapping[str, JSON]:
    """Return the schema of a JSON object with the fields for reasons before all others."""
    fields: dict[str, JSON] = {}
    if rationale:
        fields[RATIONALE] = {"type": "string"}
    if evidence:
        fields[EVIDENCE] = {"type": "array", "items": {"type": "string"}}
    return {
        **schema,
        "properties": {**fields, **schema.get("properties", {})},
        "required": [*fields, *schema.get("required", ())],
    }


def reason_tokens(*, rationale: bool, evidence: bool) -> int:
    """Return how much longer a reply may be for its reasons."""
    return sum(_TOKENS[key] for key in _wanted(rationale=rationale, evidence=evidence))


def reasons_contract(language: Language, *, rationale: bool, evidence: bool) -> str:
    """Return what to say after a contract for JSON, empty where no reasons are wanted."""
    wanted = _wanted(rationale=rationale, evidence=evidence)
    return _CONTRACTS[language][wanted] if wanted else ""


def reasons_of(fields: Mapping[str, JSON], record: Record, show: str) -> Reasons:
    """Return the reasons in a reply's object, evidence as spans of the record's shown fields.

    Never fails: what is no text, or whose words stand nowhere or in several places, is listed as rejected. A piece of
    evidence is a text, or an object with `text` and the `occurrence` that is meant.
    """
    rationale, rejected = "", list[str]()
    match fields.get(RATIONALE):
        case None:
            pass
        case str(said):
            rationale = _writable(said.strip())
        case other:
            rejected.append(f"rationale: expected text, got {clip(repr(other))}")
    evidence: dict[tuple[JSON, ...], Mapping[str, JSON]] = {}
    for piece in _pieces(fields.get(EVIDENCE), rejected):
        try:
            span = _placed(piece, record, Shown.parse(show).fields)
        except (NotFound, Ambiguous) as error:
            rejected.append(f"evidence: {error.args[0]}")
        else:
            evidence[tuple(span.values())] = span
    return Reasons(rationale, tuple(evidence.values()), tuple(rejected))


def reasoned(
    reading: Reading, completion: Completion, form: AnswerForm, record: Record, *, show: str, key: str
) -> Reading:
    """Return a reading with the reasons beside its answer in a JSON reply, and how probable the value of `key` was."""
    fields = json_object(complete_text(completion)) if form.style == "json" else None
    if fields is None:
        return reading
    rationale, evidence, rejected = reasons_of(fields, record, show)
    confidence = reading.confidence
    if confidence is None and reading.answer is not None:
        confidence = whole_confidence(completion, [key])
    return replace(
        reading,
        confidence=confidence,
        rationale=rationale or reading.rationale,
        evidence=evidence,
        rejected=(*reading.rejected, *rejected),
    )


def asks_for_reasons(task: Task) -> bool:
    """Return whether a task's replies must give reasons, so that demonstrations should show some."""
    asked = task.parts if isinstance(task, CompoundTask) else (task,)
    forms = [part.form(Capabilities()) for part in asked]
    # Beside a bare label reasons are possible, and nobody asked for them.
    return any(form.reasons == "inside" or (form.reasons == "before" and form.style == "text") for form in forms)


def with_rationale(written: str, rationale: str) -> str:
    """Return an answer, written as a JSON object, with its rationale before it: what a demonstration shows."""
    fields: dict[str, JSON] = json.loads(written)
    return json.dumps({RATIONALE: rationale.strip(), **fields}, ensure_ascii=False)


def _wanted(*, rationale: bool, evidence: bool) -> tuple[str, ...]:
    return tuple(key for key, wanted in zip(REASON_KEYS, (rationale, evidence), strict=True) if wanted)


def _writable(text: str) -> str:
    # JSON escapes can spell half an emoji, which no file can hold.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pieces(value: JSON, rejected: list[str]) -> list[tuple[str, int | None]]:
    """Return the quotes in a field of evidence with the occurrence meant; anything else goes to `rejected`."""
    given: list[JSON] = [] if value is None else value if isinstance(value, list) else [value]
    pieces: list[tuple[str, int | None]] = []
    for piece in given[:_MOST]:
        match piece:
            case str(quote) if quote.strip():
                pieces.append((quote, None))
            case {"text": str(quote)} if quote.strip():
                occurrence = piece.get("occurrence")
                pieces.append((quote, occurrence if type(occurrence) is int and occurrence > 0 else None))
            case _:
                rejected.append(f"evidence: expected words of the text, got {clip(repr(piece))}")
    if len(given) > _MOST:
        rejected.append(f"evidence: {len(given) - _MOST} pieces after the first {_MOST} were not looked at")
    return pieces


def _placed(piece: tuple[str, int | None], record: Record, shown: Sequence[str]) -> Mapping[str, JSON]:
    """Return where a quote stands in the one field that holds it.

    Raises:
        NotFound: no field holds it.
        Ambiguous: several places do.
    """
    quote, occurrence = piece
    found: list[Mapping[str, JSON]] = []
    missing: NotFound | None = None
    for name in shown:
        text = record.fields.get(name)
        if not isinstance(text, str):
            continue
        try:
            at = place(quote, text, occurrence=occurrence)
        except NotFound as error:
            missing = error
            continue
        span = {"start": at.start, "end": at.end, "text": text[at.start : at.end]}
        found.append({"field": name, **span} if len(shown) > 1 else span)
    if len(found) > 1:
        raise Ambiguous(f"{clip(quote)!r} stands in several fields: {', '.join(repr(each['field']) for each in found)}")
    if not found:
        raise missing or NotFound(f"no field shown holds text, so {clip(quote)!r} stands nowhere")
    return found[0]
