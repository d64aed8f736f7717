"""The rehearsal service with a gateway's habits: whole pictures and videos, told in each way that reports have seen.

Run in the service's process (`tests.support.bent_service:main`), in place of `callsheet.rehearsal.__main__:main`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

from callsheet.rehearsal import replies
from callsheet.rehearsal.__main__ import main as serve
from tests.support.bent_videos import bend_videos

Body = Callable[[bytes], bytes]


def of_text(change: Callable[[str], str]) -> Body:
    """Change the body as text."""
    return lambda body: change(body.decode()).encode()


def of_data(change: Callable[[str], str]) -> Body:
    """Change the picture's base64."""
    return of_text(lambda text: re.sub(r'"data":"([^"]*)"', lambda found: f'"data":"{change(found[1])}"', text))


def of_reply(change: Callable[[Any], Any]) -> Body:
    """Change the parsed reply."""
    return lambda body: json.dumps(change(json.loads(body))).encode()


def _in_a_thought(reply: Any) -> Any:
    reply["candidates"][0]["content"]["parts"][0]["thought"] = True
    return reply


def _beside_words(reply: Any) -> Any:
    reply["candidates"][0]["content"]["parts"].insert(0, {"text": "Here is your picture:"})
    return reply


def _with_a_new_reason(reply: Any) -> Any:
    reply["candidates"][0]["finishReason"] = "BRAND_NEW"
    return reply


BENT: tuple[Body, ...] = (
    lambda body: body,
    of_reply(_in_a_thought),
    of_data(lambda data: "\\n".join(data[at : at + 76] for at in range(0, len(data), 76))),
    of_data(lambda data: data.replace("+", "-").replace("/", "_").rstrip("=")),
    of_data(lambda data: f"data:image/png;base64,{data}"),
    of_text(lambda text: text.replace('"inlineData"', '"inline_data"').replace('"mimeType"', '"mime_type"')),
    of_reply(_beside_words),
    of_reply(lambda reply: [reply]),
    of_reply(lambda reply: {"response": reply}),
    of_reply(_with_a_new_reason),
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body + b"\n\n-- \nproxy 1.0",
)


def main() -> None:
    """Serve, each picture and each video's operation bent in the next way."""
    picture, ways = replies.picture, itertools.cycle(BENT)

    def bent(*args: Any, **kwargs: Any) -> bytes:
        return next(ways)(picture(*args, **kwargs))

    replies.picture = bent  # type: ignore[assignment]
    bend_videos()
    serve()
