"""LangChain's batch call: one model, `abatch` over all records with a limit on concurrency.

python run.py JOB.json
"""

# pyright: basic, reportMissingImports=false
# The packages are in this peer's own environment only.

import asyncio
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

IMPORTED = time.process_time()


async def labels(job: dict, items: list[dict]) -> list[str]:
    model = ChatOpenAI(model=job["model"], base_url=job["url"], api_key="none", max_tokens=16, temperature=0.0)
    prompts = [
        [SystemMessage(job["system"]), HumanMessage(job["before"] + item["text"] + job["after"])] for item in items
    ]
    replies = await model.abatch(prompts, config={"max_concurrency": job["concurrency"]})
    return [reply.content for reply in replies]


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    items = [json.loads(line) for line in Path(job["items"]).read_text(encoding="utf-8").splitlines()]
    given = asyncio.run(labels(job, items))
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        rows = ({"id": item["id"], "label": label} for item, label in zip(items, given, strict=True))
        out.writelines(json.dumps(row) + "\n" for row in rows)
    figures = {"job_cpu_seconds": time.process_time() - IMPORTED, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"langchain-openai {version('langchain-openai')}"}))


main()
