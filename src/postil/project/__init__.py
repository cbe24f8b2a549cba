"""Projects: the rooms put together from postil.toml."""

from postil.project.project import Project
from postil.project.rows import annotate, annotate_async

__all__ = ["Project", "annotate", "annotate_async"]
