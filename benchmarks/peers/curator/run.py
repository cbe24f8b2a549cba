"""curator's bulk inference: a class with a prompt and a parser, called on all records.

    python run.py JOB.json

It counts tokens with a table that tiktoken downloads; the copy that comes with litellm, which it installs, is used, so
that nothing but the bench server is reached. Its telemetry is off.
"""

# pyright: basic, reportMissingImports=false
# The package is in this peer's own environment only.

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

JOB = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
LITELLM = find_spec("litellm")
TABLES = Path(LITELLM.origin).parent / "litellm_core_utils" / "tokenizers" if LITELLM and LITELLM.origin else ""
os.environ |= {
    "OPENAI_API_KEY": "none",
    "CURATOR_CACHE_DIR": JOB["folder"],
    "TELEMETRY_ENABLED": "0",
    "TIKTOKEN_CACHE_DIR": str(TABLES),
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_CACHE": JOB["folder"],
}

from bespokelabs import curator  # noqa: E402 - it reads the environment when it is imported
from pydantic import BaseModel  # noqa: E402

IMPORTED = time.process_time()


class Topic(BaseModel):
    """What is asked for."""

    label: Literal["world", "sports", "business", "technology"]


class Labeller(curator.LLM):
    """One record in, one label out."""

    response_format = Topic

    def prompt(self, row: dict) -> list[dict]:
        """Return the messages."""
        return [
            {"role": "system", "content": JOB["system"]},
            {"role": "user", "content": JOB["before"] + row["text"] + JOB["after"]},
        ]

    def parse(self, row: dict, response: Topic) -> list[dict]:
        """Return a row of the output."""
        return [{"id": row["id"], "label": response.label}]


def run() -> None:
    items = [json.loads(line) for line in Path(JOB["items"]).read_text(encoding="utf-8").splitlines()]
    labeller = Labeller(
        model_name="gpt-4o-mini",
        backend="openai",
        generation_params={"temperature": 0.0, "max_tokens": 32},
        backend_params={
            "base_url": JOB["url"],
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "max_concurrent_requests": JOB["concurrency"],
        },
    )
    rows = labeller(items)
    with Path(JOB["out"]).open("w", encoding="utf-8") as out:
        labels = ({"id": row["id"], "label": row["label"]} for row in getattr(rows, "dataset", rows))
        out.writelines(json.dumps(label) + "\n" for label in labels)


def main() -> None:
    began = time.monotonic()
    run()
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in usage) - IMPORTED
    figures = {"job_cpu_seconds": cpu, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"bespokelabs-curator {version('bespokelabs-curator')}"}))


main()
