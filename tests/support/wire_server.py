"""A raw server on loopback that answers by script and counts what really arrives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from callsheet.rehearsal_proof import CHALLENGE, PROOF, ROOT, proof_of
from tests.support.pictures import a_png

KEY = "AQ.secret-key-of-the-test-0123456789"

PNG = a_png()

IMAGE_MODEL, AGENT_MODEL, GEMINI_VIDEO = (
    "gemini-3.1-flash-image",
    "veo-3.1-fast-generate-001",
    "veo-3.1-generate-preview",
)

PICTURE = {
    "candidates": [
        {
            "content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}]},
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {
        "totalTokenCount": 1299,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
    },
    "modelVersion": IMAGE_MODEL,
    "responseId": "resp-1",
}


class Catalogue:
    """The part of the catalogue that routing reads."""

    def get(self, model_id: str) -> Any:
        image = model_id.startswith("gemini")
        platforms = {AGENT_MODEL: ["agent_platform"], GEMINI_VIDEO: ["gemini_api"]}
        return SimpleNamespace(
            id=model_id,
            kind="image" if image else "video",
            surface="generate_content" if image else "predict_long_running",
            platforms=platforms.get(model_id, ["gemini_api", "agent_platform"]),
            begun_on=None,
            locations=("global",) if image else ("regions",),
        )


@dataclass
class Reply:
    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    declared: int | None = None  # Content-Length, when it is to differ from the body's
    close: bool = False


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """Reads each request whole, then does the next thing of its script; counts requests and connections.

    To rehearsals it proves that it is their service, which is not counted.
    """

    def __init__(self) -> None:
        self.script: list[Reply | str] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.url = ""

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.seen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            number = 0
            while await self._exchange(reader, writer, number):
                number = number or self.connections
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        path = path.removeprefix(f"/{ROOT}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        proof = {PROOF: proof_of(headers[CHALLENGE.lower()])} if CHALLENGE.lower() in headers else {}
        if proof and path == "/status":
            writer.write(f"HTTP/1.1 200 X\r\n{PROOF}: {proof[PROOF]}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            return False
        if not number:
            self.connections += 1
            number = self.connections
        self.seen.append(Seen(method, path, headers, body, number))
        step = self.script.pop(0) if self.script else Reply(PICTURE)
        if step == "drop":
            return False
        if step == "reset":
            writer.transport.abort()
            return False
        if step == "stall":
            await asyncio.sleep(30)
            return False
        assert isinstance(step, Reply)
        payload = step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode()
        kind = "text/html" if isinstance(step.body, bytes) else "application/json"
        length = len(payload) if step.declared is None else step.declared
        lines = {"Content-Type": kind, "Content-Length": str(length), **step.headers, **proof}
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {step.status} X\r\n{fields}\r\n".encode() + payload)
        await writer.drain()
        return not (step.close or length != len(payload))
