"""How hard a run tries, and how fast it may go."""

from dataclasses import dataclass
from typing import Final, Literal

from postil.errors import SettingsError

Lost = Literal["resend", "hold", "ask"]
"""What becomes of requests whose replies were lost, and which may have been paid for (reliability R2).

`resend`: they are sent again, and perhaps paid twice. `hold`: they are not, and their records stay pending. `ask`:
somebody decides when the run begins; where nobody is there to be asked, as `hold`.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """How hard the runner tries."""

    concurrency: int = 16
    """The most requests in flight; there are fewer where the server bears fewer."""
    attempts: int = 5
    """The most times one request is sent in a run, the first included."""
    first_wait: float = 0.5
    """The longest wait before the second attempt, in seconds; each further one may be twice as long."""
    requests_per_minute: float | None = None
    """What the server takes, where it does not say so itself; `None`: no limit is known."""
    tokens_per_minute: float | None = None
    """Of prompts and replies together."""
    lost: Literal["resend", "hold"] = "resend"
    """What becomes of requests whose replies were lost."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing.

        Raises:
            SettingsError: no request could ever leave.
        """
        for name in ("concurrency", "attempts", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise SettingsError(f"`{name}` must be at least 1, got {value!r}")


DEFAULT_POLICY: Final = Policy()
