import pytest

from postil.cli import shown
from postil.cli.terminal import Terminal
from postil.types import Assessment, Estimate


def assessment(accuracy: float, at_least: float) -> Assessment:
    def estimate(value: float) -> Estimate:
        return Estimate(value, value - 0.1, value + 0.1, 0.95, 100, "made up")

    metrics = {"accuracy": estimate(accuracy), "accuracy_lower_bound": estimate(at_least)}
    return Assessment("tone", "classification", "small", 100, 100, estimate(1.0), metrics)


@pytest.mark.parametrize(("at_least", "told"), [(0.8, False), (0.7, True)])
def test_bounds_are_told_where_answers_are_missing(
    at_least: float, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shown.assessment(Terminal(as_json=False), assessment(0.8, at_least))
    assert ("accuracy_lower_bound" in capsys.readouterr().out) == told
