"""spacy-llm's text categoriser in a pipeline, as its documents configure it. It asks one record after the other.

    python run.py JOB.json

At start-up it asks a fixed provider's address which models there are; that check is left out, since nothing but the
bench server may be reached.
"""

# pyright: basic, reportMissingImports=false
# The packages are in this peer's own environment only.

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import spacy
from spacy_llm.models.rest.openai.model import OpenAI

IMPORTED = time.process_time()


def run(job: dict) -> None:
    os.environ["OPENAI_API_KEY"] = "none"
    setattr(OpenAI, "_verify_auth", lambda _: None)  # noqa: B010 - no public way to leave it out
    items = [json.loads(line) for line in Path(job["items"]).read_text(encoding="utf-8").splitlines()]
    nlp = spacy.blank("en")
    task = {
        "@llm_tasks": "spacy.TextCat.v3",
        "labels": job["labels"],
        "exclusive_classes": True,
        "allow_none": False,
    }
    model = {
        "@llm_models": "spacy.GPT-4.v3",
        "name": "gpt-4",
        "endpoint": job["address"],
        "config": {"temperature": 0.0, "max_tokens": 16},
    }
    nlp.add_pipe("llm", config={"task": task, "model": model})
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        for item, doc in zip(items, nlp.pipe(item["text"] for item in items), strict=True):
            label = max(doc.cats, key=doc.cats.get)
            out.write(json.dumps({"id": item["id"], "label": label}) + "\n")


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    run(job)
    figures = {"job_cpu_seconds": time.process_time() - IMPORTED, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"spacy-llm {version('spacy-llm')}", "in_flight": 1}))


main()
