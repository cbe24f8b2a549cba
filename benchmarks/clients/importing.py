"""Brings records into a project's journal and ends.

python importing.py JOB.json
"""

import json
import sys
import time
from pathlib import Path

from postil import Project
from postil.tasks.kinds import task_from_spec

IMPORTED = time.process_time()


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    Project.create(job["folder"], task_from_spec(job["task"]), items=job["items"]).close()
    figures = {"job_cpu_seconds": time.process_time() - IMPORTED, "seconds": time.monotonic() - began}
    print(json.dumps(figures))


main()
