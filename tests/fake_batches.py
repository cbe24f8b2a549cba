"""A real server on 127.0.0.1 that speaks the OpenAI files and batches protocol beside chat, and gets things wrong.

with BatchServer(lambda asked: "positive") as server:
    server.mangle = lambda lines: lines[::-1]
    ...
    assert server.submitted == 1
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fake_server import Asked, FakeServer, Reply, Script, chat_completion

Lines = list[dict[str, Any]]


@dataclass
class Submitted:
    """A batch on the server."""

    id: str
    lines: Sequence[dict[str, Any]]
    metadata: dict[str, str]
    polls: int = 0
    status: str = "in_progress"
    files: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "batch",
            "status": self.status,
            "metadata": self.metadata,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            **self.files,
        }


class BatchServer(FakeServer):
    """Answers the lines of a batch by the same script as a live request, when it is looked at often enough."""

    def __init__(self, script: Script = lambda _: Reply()) -> None:
        super().__init__(script)
        self.batches: list[Submitted] = []
        self.polls_needed = 1
        self.mangle: Callable[[Lines], Lines] = lambda lines: lines
        """What becomes of the lines of finished requests before they are handed out."""
        self.most_enqueued = 10**9
        """Larger batches fail as the provider's do."""
        self.finished_share = 1.0
        """Beyond this share of its lines a batch expires."""
        self.lists = True
        self.lose_create = False
        """Whether the answer to the creation of a batch is lost."""
        self.billed_bodies: Counter[str] = Counter()
        self._files: dict[str, bytes] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._look)
        super().add_routes(router)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        id_ = f"file-{len(self._files)}"
        self._files[id_] = file.file.read()
        return web.json_response({"id": id_, "object": "file"})

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self._files[request.match_info["id"]])

    async def _create(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        assert asked["endpoint"] == "/v1/chat/completions"
        lines = [json.loads(line) for line in self._files[asked["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        batch = Submitted(f"batch_{len(self.batches)}", lines, asked.get("metadata") or {})
        self.batches.append(batch)
        if self.lose_create:
            transport = request.transport
            assert transport is not None
            transport.close()
            return web.Response()
        return web.json_response(batch.to_json())

    async def _list(self, request: web.Request) -> web.Response:
        if not self.lists:
            return web.json_response({"error": {"message": "no such route"}}, status=404)
        newest = [batch.to_json() for batch in reversed(self.batches)]
        after = request.query.get("after")
        at = next((i + 1 for i, batch in enumerate(newest) if batch["id"] == after), 0)
        # Small pages, so that looking through several is tried too.
        return web.json_response({"object": "list", "data": newest[at : at + 2], "has_more": len(newest) > at + 2})

    async def _look(self, request: web.Request) -> web.Response:
        [batch] = [batch for batch in self.batches if batch.id == request.match_info["id"]]
        batch.polls += 1
        if batch.status == "in_progress" and batch.polls >= self.polls_needed:
            self._work(batch)
        return web.json_response(batch.to_json())

    def _work(self, batch: Submitted) -> None:
        if len(batch.lines) > self.most_enqueued:
            batch.status = "failed"
            batch.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
            return
        finished = round(self.finished_share * len(batch.lines))
        good: Lines = []
        bad: Lines = []
        for line in batch.lines[:finished]:
            status, body = self._answered(line["body"])
            row = {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (good if status == 200 else bad).append(row)
        for line in batch.lines[finished:]:
            error = {"code": "batch_expired", "message": "This request could not be executed in time."}
            bad.append({"custom_id": line["custom_id"], "response": None, "error": error})
        batch.status = "completed" if finished == len(batch.lines) else "expired"
        for name, rows in (("output_file_id", self.mangle(good)), ("error_file_id", bad)):
            if rows:
                id_ = f"file-{len(self._files)}"
                self._files[id_] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
                batch.files[name] = id_

    def _answered(self, body: dict[str, Any]) -> tuple[int, Any]:
        key = json.dumps(body, sort_keys=True)
        asked = Asked(len(self.asked) + 1, self.billed_bodies[key] + 1, "batch", {}, body)
        self.asked.append(asked)
        reply = self.script(asked)
        if isinstance(reply, str):
            reply = Reply(reply)
        if reply.status == 200:
            self.billed_bodies[key] += 1
        return reply.status, chat_completion(reply, asked) if reply.body is None else reply.body
