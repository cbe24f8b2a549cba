"""Postil: labels from language models that you can defend.

```python
import postil

task = postil.Classification("sentiment", "What does the writer think of the product?", labels=["positive", "negative"])
rows = postil.annotate(["I love it.", "It broke at once."], task, engine="local")
```

Names are loaded when they are used: importing this package loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from postil._version import __version__

if TYPE_CHECKING:
    from postil.engines.local import LocalEngine
    from postil.engines.openai import OpenAIEngine
    from postil.engines.scripted import ScriptedEngine
    from postil.errors import PostilError
    from postil.project import Project, annotate, annotate_async
    from postil.tasks.attributes import Attributes
    from postil.tasks.classification import Classification
    from postil.tasks.multilabel import MultiLabel
    from postil.tasks.preference import Preference
    from postil.tasks.rating import Rating
    from postil.tasks.relations import Relations
    from postil.tasks.roles import Roles
    from postil.tasks.spans import Spans
    from postil.tasks.text import Text
    from postil.tasks.timeline import Timeline
    from postil.types import (
        Abstention,
        Annotation,
        Assessment,
        Budget,
        Capabilities,
        Completion,
        Confidence,
        Estimate,
        Failure,
        Record,
        Request,
    )

_HOMES = {
    "postil.engines.local": ("LocalEngine",),
    "postil.engines.openai": ("OpenAIEngine",),
    "postil.engines.scripted": ("ScriptedEngine",),
    "postil.errors": ("PostilError",),
    "postil.project": ("Project", "annotate", "annotate_async"),
    "postil.tasks.attributes": ("Attributes",),
    "postil.tasks.classification": ("Classification",),
    "postil.tasks.multilabel": ("MultiLabel",),
    "postil.tasks.preference": ("Preference",),
    "postil.tasks.rating": ("Rating",),
    "postil.tasks.relations": ("Relations",),
    "postil.tasks.roles": ("Roles",),
    "postil.tasks.spans": ("Spans",),
    "postil.tasks.text": ("Text",),
    "postil.tasks.timeline": ("Timeline",),
    "postil.types": (
        *("Abstention", "Annotation", "Assessment", "Budget", "Capabilities", "Completion", "Confidence"),
        *("Estimate", "Failure", "Record", "Request"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Abstention",
    "Annotation",
    "Assessment",
    "Attributes",
    "Budget",
    "Capabilities",
    "Classification",
    "Completion",
    "Confidence",
    "Estimate",
    "Failure",
    "LocalEngine",
    "MultiLabel",
    "OpenAIEngine",
    "PostilError",
    "Preference",
    "Project",
    "Rating",
    "Record",
    "Relations",
    "Request",
    "Roles",
    "ScriptedEngine",
    "Spans",
    "Text",
    "Timeline",
    "__version__",
    "annotate",
    "annotate_async",
]


def __getattr__(name: str) -> Any:
    """Load a public name where it lives."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'postil' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
