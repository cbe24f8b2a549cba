"""Postil as a user runs it: a project is made of the records and annotated; the answers are in its journal.

python postil_project.py JOB.json
"""

import json
import sys
import time
from pathlib import Path

# Postil loads them with its first request; where imports are left out, they are some.
import httptools  # noqa: F401  # pyright: ignore[reportUnusedImport]

from postil import Project
from postil.tasks.kinds import task_from_spec

IMPORTED = time.process_time()


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    project = Project.create(
        job["folder"], task_from_spec(job["task"]), items=job["items"], annotators={"bench": job["annotator"]}
    )
    with project:
        cpu, began = time.process_time(), time.monotonic()
        result = project.annotate("bench", limit=job.get("limit"))
        ended = time.monotonic()
    now = time.process_time()
    figures = {
        "job_cpu_seconds": now - IMPORTED,
        "annotate_cpu_seconds": now - cpu,
        "annotate_seconds": ended - began,
        "labelled": result.labelled,
    }
    print(json.dumps(figures))


main()
