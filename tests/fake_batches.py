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
from typing import Any, Literal

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
        self.most_open = 10**9
        self.beside: Literal["", "429", "failed"] = ""
        """What becomes of a batch beside another, where only one is taken at a time, in a provider's own words."""
        """Batches beyond so many at once fail too."""
        self.open: list[int] = []
        """How many batches were in progress whenever one had been submitted."""
        self.finished_share = 1.0
        """Beyond this share of its lines a batch expires."""
        self.lists = True
        self.lose_create = False
        """Whether the answer to the creation of a batch is lost."""
        self.refused: Counter[str] = Counter()
        """How many more calls of upload, create, list or look are answered with status 503."""
        self.lose_uploads = 0
        """How many more uploads find the connection closed."""
        self.list_lag = 0
        """How many more lists come too early to show any batch."""
        self.hide_files = 0
        """How many more looks at a batch that is completed name none of its files."""
        self.break_off = 0
        """How many more files of results break off in the middle."""
        self.chunk = 1 << 16
        """Bytes of a file of results that are sent at once."""
        self.cancelled = False
        """Whether batches are called off at the provider, after `finished_share` of their lines."""
        self.billed_bodies: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._files: dict[str, bytes] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._look)
        super().add_routes(router)

    def _refuses(self, call: str) -> web.Response | None:
        if not self.refused[call]:
            return None
        self.refused[call] -= 1
        return web.json_response({"error": {"message": "try later"}}, status=503)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        self.calls["upload"] += 1
        if refusal := self._refuses("upload"):
            return refusal
        if self.lose_uploads:
            self.lose_uploads -= 1
            return hung_up(request)
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        return web.json_response({"id": self.keep(file.file.read()), "object": "file"})

    def keep(self, content: bytes) -> str:
        """Keep a file, and return its id."""
        self._files[id_ := f"file-{len(self._files)}"] = content
        return id_

    async def _content(self, request: web.Request) -> web.StreamResponse:
        content = self._files[request.match_info["id"]]
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        end = len(content)
        if self.break_off:
            self.break_off -= 1
            end //= 2
        for at in range(0, end, self.chunk):
            await response.write(content[at : min(end, at + self.chunk)])
        return response if end == len(content) else hung_up(request)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.calls["create"] += 1
        if refusal := self._refuses("create"):
            return refusal
        working = sum(each.status == "in_progress" for each in self.batches)
        if self.beside == "429" and working:
            return web.json_response({"error": {"message": "Too many batches are being processed"}}, status=429)
        asked = await request.json()
        assert asked["endpoint"] == "/v1/chat/completions"
        lines = [json.loads(line) for line in self._files[asked["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        batch = Submitted(f"batch_{len(self.batches)}", lines, asked.get("metadata") or {})
        self.batches.append(batch)
        self.open.append(sum(each.status == "in_progress" for each in self.batches))
        if self.open[-1] > self.most_open or (self.beside == "failed" and working):
            self._refuse(batch)
            if self.beside:
                batch.errors = [{"code": "too_many_batches", "message": "only one at a time"}]
        return hung_up(request) if self.lose_create else web.json_response(batch.to_json())

    async def _list(self, request: web.Request) -> web.Response:
        if not self.lists:
            return web.json_response({"error": {"message": "no such route"}}, status=404)
        if refusal := self._refuses("list"):
            return refusal
        newest = [batch.to_json() for batch in reversed(self.batches)]
        if self.list_lag:
            self.list_lag -= 1
            newest = []
        after = request.query.get("after")
        at = next((i + 1 for i, batch in enumerate(newest) if batch["id"] == after), 0)
        # Small pages, so that looking through several is tried too.
        return web.json_response({"object": "list", "data": newest[at : at + 2], "has_more": len(newest) > at + 2})

    async def _look(self, request: web.Request) -> web.Response:
        self.calls["look"] += 1
        if refusal := self._refuses("look"):
            return refusal
        found = [batch for batch in self.batches if batch.id == request.match_info["id"]]
        if not found:
            return web.json_response({"error": {"message": "no such batch"}}, status=404)
        [batch] = found
        batch.polls += 1
        if batch.status == "in_progress" and batch.polls >= self.polls_needed:
            self._work(batch)
        shown = batch.to_json()
        if batch.status == "completed" and self.hide_files:
            self.hide_files -= 1
            shown = {key: value for key, value in shown.items() if key not in batch.files}
        return web.json_response(shown)

    def _work(self, batch: Submitted) -> None:
        if len(batch.lines) > self.most_enqueued:
            self._refuse(batch)
            return
        finished = round(self.finished_share * len(batch.lines))
        good: Lines = []
        bad: Lines = []
        for line in batch.lines[:finished]:
            status, body = self._answered(line["body"])
            row = {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (good if status == 200 else bad).append(row)
        for line in batch.lines[finished:]:
            code = "batch_cancelled" if self.cancelled else "batch_expired"
            error = {"code": code, "message": "This request could not be executed in time."}
            bad.append({"custom_id": line["custom_id"], "response": None, "error": error})
        batch.status = "completed" if finished == len(batch.lines) else "cancelled" if self.cancelled else "expired"
        for name, rows in (("output_file_id", self.mangle(good)), ("error_file_id", bad)):
            if rows:
                batch.files[name] = self.keep(b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    def _refuse(self, batch: Submitted) -> None:
        batch.status = "failed"
        batch.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]

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


def hung_up(request: web.Request) -> web.Response:
    """Close the connection in the place of an answer, or in the middle of it."""
    transport = request.transport
    assert transport is not None
    transport.close()
    return web.Response()
