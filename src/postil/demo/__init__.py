"""The data that `postil demo` labels: sentences from product reviews with human gold; `CREDITS.md` says whose."""

from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["product_reviews"]


def product_reviews() -> Traversable:
    """Return the shipped file of sentences from product reviews, JSON Lines, UTF-8.

    A line holds `id`, `text`, `label` ("positive" or "negative"), `mean` and `ratings` (20 human ratings from -4 to 4).
    `label` is the sign of `mean`; it is about the sentence, not the product. Where a real path is needed (the package
    may lie in an archive), use `importlib.resources.as_file`.
    """
    return files("postil.demo").joinpath("product_reviews.jsonl")
