"""The least that a client on aiohttp can do: workers over one file, a request and a line of output a record.

    python raw_aiohttp.py JOB.json

Sends and reads the same bytes as Postil; nothing is checked, tried again or kept safe. It imports nothing of Postil.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import aiohttp

IMPORTED = time.process_time()


async def run(job: dict[str, Any], lines: TextIO, out: TextIO) -> None:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers=job["headers"],
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:

        async def work() -> None:
            for line in lines:
                item = json.loads(line)
                user = job["before"] + item["text"] + job["after"]
                messages = [{"role": "system", "content": job["system"]}, {"role": "user", "content": user}]
                body = {"model": job["body"]["model"], "messages": messages, **job["body"]}
                data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
                key = item["id"].zfill(job["key_length"])
                async with session.post(job["address"], data=data, headers={"Idempotency-Key": key}) as response:
                    reply = json.loads(await response.read())
                label = reply["choices"][0]["message"]["content"]
                out.write(json.dumps({"id": item["id"], "label": label}) + "\n")

        await asyncio.gather(*(work() for _ in range(job["concurrency"])))


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    began = time.monotonic()
    with Path(job["items"]).open(encoding="utf-8") as lines, Path(job["out"]).open("w", encoding="utf-8") as out:
        asyncio.run(run(job, lines, out))
    cpu = time.process_time() - IMPORTED
    figures = {"job_cpu_seconds": cpu, "annotate_cpu_seconds": cpu, "annotate_seconds": time.monotonic() - began}
    print(json.dumps(figures))


main()
