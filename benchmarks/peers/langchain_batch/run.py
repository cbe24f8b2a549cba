"""LangChain's batch call: one chain, `abatch` over all records with a limit on concurrency.

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


async def run(job: dict) -> None:
    items = [json.loads(line) for line in Path(job["items"]).read_text(encoding="utf-8").splitlines()]
    model = ChatOpenAI(
        model=job["model"], base_url=job["url"], api_key="none", max_tokens=16, temperature=0.0, max_retries=2
    )
    prompts = [
        [SystemMessage(job["system"]), HumanMessage(job["before"] + item["text"] + job["after"])] for item in items
    ]
    replies = await model.abatch(prompts, config={"max_concurrency": job["concurrency"]})
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        for item, reply in zip(items, replies, strict=True):
            out.write(json.dumps({"id": item["id"], "label": reply.content}) + "\n")


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    asyncio.run(run(job))
    figures = {"job_cpu_seconds": time.process_time() - IMPORTED, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"langchain-openai {version('langchain-openai')}"}))


main()
