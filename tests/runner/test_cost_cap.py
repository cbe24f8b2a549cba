"""What one record may cost is bounded: a record built to cost money ends as a failure with a name (reliability J5)."""

from pathlib import Path

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.project.verifying import Verifier
from postil.runner import Price
from postil.types import Capabilities, Completion, Failure, Record, Request, Usage
from tests.runner import scene


class Talkative(ScriptedEngine):
    """Goes on writing for as long as it may, as a text can make a model do."""

    def __init__(self) -> None:
        super().__init__(self._write, capabilities=Capabilities())
        self.tokens: dict[str, int] = {}

    def _write(self, request: Request) -> Completion:
        [about] = [message.content for message in request.messages if "nonce" in message.content]
        usage = Usage(self.count_tokens(request.messages), request.max_tokens)
        self.tokens[about] = self.tokens.get(about, 0) + usage.input_tokens + usage.output_tokens
        # Nothing twice: a loop would not be given more room.
        return Completion(" ".join(map(str, range(request.max_tokens))), "length", usage)


def test_the_cap_is_part_of_what_can_change_an_answer() -> None:
    engine = scene.engine()
    assert scene.annotator(engine).id != scene.annotator(engine, max_tokens_per_record=900).id


@pytest.mark.parametrize(("share", "ends"), [(1.1, "cost_cap"), (1.9, "cost_cap"), (3.0, "truncated")])
async def test_no_record_costs_more_than_the_cap(share: float, ends: str, tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        engine = Talkative()
        first = scene.annotator(engine).request(scene.record(1))
        cap = int(share * (engine.count_tokens(first.messages) + first.max_tokens))
        double = scene.annotator(engine, repairs=1, max_tokens_per_record=cap)
        await scene.run(journal, double, price=Price(1.0, 1.0))
        assert all(0 < tokens <= cap for tokens in engine.tokens.values())
        assert set(scene.labels(journal, double).values()) == {ends}
        assert Verifier(journal, {double.id: double}).verify().problems == ()


async def test_a_record_whose_first_request_is_too_dear_is_not_asked_about(tmp_path: Path) -> None:
    records = [scene.record(1), Record("huge", {"text": "nonce-2 " + "word " * 5000})]
    with scene.journal(tmp_path, records) as journal:
        engine = scene.engine()
        double = scene.annotator(engine, max_tokens_per_record=2000)
        await scene.run(journal, double)
        huge = scene.outcomes(journal, double)["huge"]
        assert isinstance(huge, Failure)
        assert huge.failure_class == "cost_cap"
        assert "of the 2000 for one record" in huge.message
        assert len(engine.requests) == 1
        assert Verifier(journal, {double.id: double}).verify().problems == ()
