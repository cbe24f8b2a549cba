"""The openai SDK as its documents show it: one client, a semaphore, all requests gathered.

python run.py JOB.json
"""

# pyright: basic, reportMissingImports=false
# The package is in this peer's own environment only.

import asyncio
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import openai

IMPORTED = time.process_time()


async def labels(job: dict, items: list[dict]) -> list[str]:
    slots = asyncio.Semaphore(job["concurrency"])
    async with openai.AsyncOpenAI(base_url=job["url"], api_key="none") as client:

        async def label(item: dict) -> str:
            messages = [
                {"role": "system", "content": job["system"]},
                {"role": "user", "content": job["before"] + item["text"] + job["after"]},
            ]
            async with slots:
                reply = await client.chat.completions.create(
                    model=job["model"], messages=messages, max_tokens=16, temperature=0.0
                )
            return reply.choices[0].message.content or ""

        return await asyncio.gather(*map(label, items))


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    items = [json.loads(line) for line in Path(job["items"]).read_text(encoding="utf-8").splitlines()]
    given = asyncio.run(labels(job, items))
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        rows = ({"id": item["id"], "label": label} for item, label in zip(items, given, strict=True))
        out.writelines(json.dumps(row) + "\n" for row in rows)
    figures = {"job_cpu_seconds": time.process_time() - IMPORTED, "seconds": time.monotonic() - began}
    print(json.dumps(figures | {"version": f"openai {version('openai')}"}))


main()
