"""Numbers as people read them."""

from collections.abc import Mapping

from postil.runner import Progress
from postil.types import Estimate


def count(number: int) -> str:
    """Return a whole number with thousands set apart."""
    return f"{number:,}"


def dollars(usd: float | None) -> str:
    """Return an amount, or that it is not known."""
    if usd is None:
        return "price unknown"
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def duration(seconds: float | None) -> str:
    """Return a length of time, or that it is not known."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def interval(estimate: Estimate) -> str:
    """Return value and interval."""
    return f"{estimate.value:.3f}  {estimate.low:.3f} to {estimate.high:.3f}"


def failures(classes: Mapping[str, int]) -> str:
    """Return failures by class, most frequent first."""
    ordered = sorted(classes.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number} {name}" for name, number in ordered)


def requests(number: int, usd: float) -> str:
    """Return how many requests there are, and the most they can come to where a budget counts that."""
    noun = "request" if number == 1 else "requests"
    return f"{count(number)} {noun}" + (f" (at most {dollars(usd)})" if usd else "")


def progress_line(progress: Progress) -> str:
    """Return where a run is: records, pace, time left, money now and projected, failures by class."""
    if progress.phase == "calibrating":
        return f"measuring the model's prior … {duration(progress.seconds)}"
    done, total = progress.done, progress.total
    pace = done / progress.seconds if progress.seconds else 0.0
    parts = [f"{count(done)}/{count(total)} records", f"{pace:.1f} a second"]
    if pace and done:
        parts.append(f"{duration((total - done) / pace)} left")
    if progress.usd is None:
        parts.append("price unknown")
    elif progress.usd and done:
        parts.append(f"{dollars(progress.usd)} of about {dollars(progress.usd / done * total)}")
    if progress.failures:
        parts.append(failures(progress.failures))
    return " · ".join(parts)
