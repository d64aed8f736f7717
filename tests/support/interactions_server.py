"""A server of pictures, interactions and files alone, on loopback, which is not always well."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from callsheet.keys import ATTEMPT_LABEL, JOB_LABEL
from callsheet.rehearsal.clip_files import extend_video
from tests.support.cli import Cli
from tests.support.odd_video_server import Asked, OddServer, Reply
from tests.support.pictures import a_png

CREATED = {"id": "v1_a", "object": "interaction", "status": "in_progress"}
FILES = "https://generativelanguage.googleapis.com/v1beta/files/"
BUSY = {"error": {"code": "overloaded", "message": "busy"}}
TOKENS = 20_000
REFUSED = "Nobody may see this"


def completed(*content: Any, **more: Any) -> Reply:
    return Reply({**CREATED, "status": "completed", "steps": [{"type": "model_output", "content": content}], **more})


class InteractionsServer:
    """What it has accepted by job (pictures: by prompt), and how often each thing was polled.

    `drops` is the share of submissions whose reply is lost after they were accepted. Each clip has bytes of its own.
    """

    def __init__(self, clip: bytes, *, seed: int = 7, drops: float = 0.0) -> None:
        self.clip = clip
        self.accepted: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()
        self.inputs: dict[str, list[dict[str, Any]]] = {}
        self.other: list[str] = []
        self.url = ""
        self._random = random.Random(seed)
        self._drops = drops
        self._files: dict[str, bytes] = {}
        self._refused: set[str] = set()

    def answer(self, asked: Asked) -> Reply:
        """Answer as a busy server does: now and then with an error, and with files that are late."""
        path = asked.path.partition("?")[0]
        if path.endswith(":generateContent"):
            return self._make_picture(asked)
        if (asked.method, path) == ("POST", "/v1/interactions"):
            return self._accept(asked)
        if asked.method == "GET" and path.startswith("/v1/interactions/"):
            return self._show(path.rpartition("/")[2])
        if asked.method == "GET" and path.startswith("/v1beta/files/"):
            return self._serve_file(path)
        self.other.append(f"{asked.method} {path}")
        return Reply({"error": {"code": 404, "message": "not here", "status": "NOT_FOUND"}}, 404)

    def _make_picture(self, asked: Asked) -> Reply:
        parts = asked.json["contents"][0]["parts"]
        (text,) = [part["text"] for part in parts if "text" in part]
        if self._random.random() < 0.1:
            return Reply(
                {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, 503, {"Retry-After": "0"}
            )
        self.accepted[text] += 1
        self.inputs[text] = [part for part in parts if "text" not in part]
        colour = f"#{hashlib.sha256(f'{text} {self.accepted[text]}'.encode()).hexdigest()[:6]}"
        data = {"mimeType": "image/png", "data": base64.b64encode(a_png(colour)).decode()}
        candidate = {"content": {"parts": [{"inlineData": data}]}, "finishReason": "STOP"}
        is_lost = self.accepted[text] == 1 and self._is_lost()  # of two lost replies the picture is given up
        return Reply({"candidates": [candidate]}, cut=0 if is_lost else None)

    def _accept(self, asked: Asked) -> Reply:
        sent, labels = asked.json, asked.json["labels"]
        if self._random.random() < 0.2:
            return Reply(BUSY, 503, {"Retry-After": "0"})
        job, number = labels[JOB_LABEL], labels[ATTEMPT_LABEL]
        content, task = sent["input"][0]["content"], sent["generation_config"]["video_config"]["task"]
        self.accepted[job] += 1
        self.tasks[task] += 1
        self.inputs[job] = content
        videos = [base64.b64decode(part["data"]) for part in content if part["type"] == "video"]
        seconds = int(sent["response_format"]["duration"].rstrip("s")) if videos else 0
        self._files[f"{job}{number}"] = extend_video(videos[0] if videos else self.clip, seconds, job)
        if any(part.get("text", "").startswith(REFUSED) for part in content):
            self._refused.add(f"{job}{number}")
        return Reply({**CREATED, "id": f"v1_{job}{number}"}, cut=0 if self._is_lost() else None)

    def _is_lost(self) -> bool:
        return self._random.random() < self._drops

    def _show(self, name: str) -> Reply:
        self.polls[name] += 1
        if self._random.random() < 0.1:
            return Reply(BUSY, 503, {"Retry-After": "0"})
        file = name.removeprefix("v1_")
        if file in self._refused:
            return completed({"type": "text", "text": "I cannot make that."}, id=name)
        usage = {"output_tokens_by_modality": [{"modality": "video", "tokens": TOKENS}]}
        return completed({"type": "video", "uri": f"{FILES}{file}"}, usage=usage, id=name)

    def _serve_file(self, path: str) -> Reply:
        self.polls[path] += 1
        file = self._files[path.rpartition("/")[2].partition(":")[0]]
        is_odd = self.polls[path] == 1 and self._random.random() < 0.3
        if path.endswith(":download"):
            return Reply(file, kind="video/mp4", cut=len(file) // 2 if is_odd else None)
        return Reply({"state": "PROCESSING" if is_odd else "ACTIVE", "sizeBytes": str(len(file))})


@contextlib.contextmanager
def serving(it: InteractionsServer) -> Iterator[None]:
    """Serve in a thread until the block ends: the commands are other processes."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    odd = OddServer({"": it.answer})

    def serve() -> None:
        asyncio.set_event_loop(loop)
        listening = loop.run_until_complete(asyncio.start_server(odd.serve, "127.0.0.1", 0))
        it.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        loop.run_forever()
        listening.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait()
    yield
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def settle(cli: Cli, it: InteractionsServer) -> None:
    """Decide what is in doubt as a person would who looks for the labels where the provider lists them.

    A picture of which two replies were lost, one of them by a kill, has none on this route: it is asked for again.
    """
    for doubt in cli("resolve", "--json").json["jobs"]:
        labels = doubt["labels"]
        job = labels.get(JOB_LABEL, "")
        decision = ["--adopt", f"v1_{job}{labels[ATTEMPT_LABEL]}"] if it.accepted[job] else ["--resubmit"]
        assert cli("resolve", doubt["key"], *decision, "--no-look").exit_code == 0
