"""Who is asked what and when: order, limits, retries, money, deadlines, resume. Never whether answers are good."""

from postil.runner.annotator import Interview, PromptedAnnotator, Sampling
from postil.runner.money import Price
from postil.runner.policy import Policy
from postil.runner.run import Again, Interviewed, Progress, Runner, RunSummary, Stoppable

__all__ = [
    "Again",
    "Interview",
    "Interviewed",
    "Policy",
    "Price",
    "Progress",
    "PromptedAnnotator",
    "RunSummary",
    "Runner",
    "Sampling",
    "Stoppable",
]
