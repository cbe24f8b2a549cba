"""Prompts: task + demonstrations + record -> messages, byte-identical for identical inputs."""

from postil.prompts.prompt import Prompt, form_of
from postil.prompts.templates import Template, load_template, parse_template

__all__ = ["Prompt", "Template", "form_of", "load_template", "parse_template"]
