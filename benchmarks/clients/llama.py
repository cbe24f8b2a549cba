"""The packaged model inside this process: driven by Postil, or by llama.cpp's own calls with what Postil sent it.

    python llama.py JOB.json

The job says which: "labels" (scored by log-probability), "json" (generated under a schema), or "direct".
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from postil import Capabilities, Project
from postil.engines import local
from postil.engines.local import LocalEngine
from postil.tasks.kinds import task_from_spec
from postil.types import Message


class GeneratingEngine(LocalEngine):
    """The same model, asked to write its answers out as JSON."""

    @property
    def capabilities(self) -> Capabilities:
        """Everything but scores."""
        return replace(super().capabilities, scores="none", schema=True)


def run_postil(job: dict[str, Any]) -> dict[str, Any]:
    """Label the records and keep what llama.cpp was asked, prompts as tokens."""
    kind = LocalEngine if job["mode"] == "labels" else GeneratingEngine
    engine = kind(slots=job["slots"], threads=job["threads"])
    engine.count_tokens([Message("user", "This loads the model.")])
    bodies: list[dict[str, Any]] = []
    processed: list[int] = []
    written: list[int] = []
    server_type: Any = getattr(local, "_Server")  # noqa: B009 - the one seam to llama.cpp, watched and not changed
    complete = server_type.complete

    def watched(server: Any, body: dict[str, Any]) -> Any:
        reply = complete(server, body)
        bodies.append(body)
        usage = reply["usage"]
        written.append(usage["completion_tokens"])
        processed.append(usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"])
        return reply

    server_type.complete = watched
    with Project.create(job["folder"], task_from_spec(job["task"]), items=job["items"]) as project:
        began = time.monotonic()
        result = project.annotate("bench", engine=engine, calibrate="none", concurrency=2 * job["slots"])
        seconds = time.monotonic() - began
    prompts = [body["prompt"] for body in bodies]
    Path(job["bodies"]).write_text(json.dumps(bodies), encoding="utf-8")
    return {
        "seconds": seconds,
        "tokens": sum(map(len, prompts)) + sum(written),
        "processed": sum(processed),
        "own": sum(own_tokens(prompts)),
        "labelled": result.labelled,
        "failed": result.failed,
    }


def own_tokens(prompts: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield how many tokens of each prompt are not the beginning of an earlier one."""
    known: set[tuple[int, ...]] = set()
    for prompt in prompts:
        shared = 0
        while shared < len(prompt) and tuple(prompt[: shared + 1]) in known:
            shared += 1
        known.update(tuple(prompt[: end + 1]) for end in range(shared, len(prompt)))
        yield len(prompt) - shared


def run_direct(job: dict[str, Any]) -> dict[str, Any]:
    """Put the same bodies to llama.cpp's server, from as many threads as there are slots."""
    engine = LocalEngine(slots=job["slots"], threads=job["threads"])
    engine.count_tokens([Message("user", "This loads the model.")])
    server: Any = getattr(engine, "_started")()  # noqa: B009 - the same server, set up in the same way
    handle = getattr(server, "_server").handle_completions  # noqa: B009 - llama.cpp's own call
    bodies = json.loads(Path(job["bodies"]).read_text(encoding="utf-8"))
    began = time.monotonic()
    with ThreadPoolExecutor(job["slots"]) as pool:
        replies = list(pool.map(handle, bodies))
    seconds = time.monotonic() - began
    if errors := [reply["error"] for reply in replies if reply.get("error")]:
        raise RuntimeError(f"llama.cpp: {errors[0]}")
    return {"seconds": seconds}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    figures = run_direct(job) if job["mode"] == "direct" else run_postil(job)
    print(json.dumps(figures), flush=True)
    # llama.cpp's threads are not waited for: everything is said.
    os._exit(0)


if __name__ == "__main__":
    main()
