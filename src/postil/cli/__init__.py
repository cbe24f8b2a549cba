"""The command line: one thin command a verb."""

from postil.cli.app import main

__all__ = ["main"]
