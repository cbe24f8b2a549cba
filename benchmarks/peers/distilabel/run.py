"""distilabel's pipeline: records, then one step that asks a model, as its documents show it.

python run.py JOB.json
"""

# pyright: basic, reportMissingImports=false
# The packages are in this peer's own environment only.

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

JOB = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": JOB["folder"]}

from distilabel.models import OpenAILLM  # noqa: E402 - its packages read the environment when they are imported
from distilabel.pipeline import Pipeline  # noqa: E402
from distilabel.steps import LoadDataFromDicts  # noqa: E402
from distilabel.steps.tasks import TextGeneration  # noqa: E402

IMPORTED = time.process_time()


def run() -> None:
    items = [json.loads(line) for line in Path(JOB["items"]).read_text(encoding="utf-8").splitlines()]
    rows = [{"id": item["id"], "instruction": JOB["before"] + item["text"] + JOB["after"]} for item in items]
    with Pipeline(name="topics", cache_dir=JOB["folder"]) as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=JOB["concurrency"])
        model = OpenAILLM(
            model=JOB["model"],
            base_url=JOB["url"],
            api_key="none",
            generation_kwargs={"max_new_tokens": 16, "temperature": 0.0},
        )
        ask = TextGeneration(llm=model, system_prompt=JOB["system"], input_batch_size=JOB["concurrency"])
        load.connect(ask)
    found = pipeline.run(use_cache=False)["default"]["train"]
    with Path(JOB["out"]).open("w", encoding="utf-8") as out:
        labels = ({"id": row["id"], "label": row["generation"]} for row in found)
        out.writelines(json.dumps(label) + "\n" for label in labels)


def main() -> None:
    began = time.monotonic()
    run()
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in usage) - IMPORTED
    figures = {"job_cpu_seconds": cpu, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"distilabel {version('distilabel')}"}))


if __name__ == "__main__":
    main()
