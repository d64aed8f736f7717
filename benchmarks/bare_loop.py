"""The peer of the pictures row: a bare loop over google-genai.

It saves the pictures and keeps no records. `python -m benchmarks.bare_loop URL REQUESTS FOLDER` prints the seconds that
the loop took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from google import genai
from google.genai import types

AT_ONCE = 16


async def main(url: str, requests: list[dict[str, Any]], folder: Path) -> float:
    options = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key="rehearsal", http_options=options)
    slots = asyncio.Semaphore(AT_ONCE)

    async def make(number: int, request: dict[str, Any]) -> None:
        image = types.ImageConfig(aspect_ratio=request["aspect_ratio"], image_size=request["image_size"])
        async with slots:
            reply = await client.aio.models.generate_content(
                model=request["model"],
                contents=request["prompt"],
                config=types.GenerateContentConfig(response_modalities=["IMAGE"], image_config=image),
            )
        blobs = [part.inline_data for part in reply.parts or () if part.inline_data]
        assert blobs[0].data
        (folder / f"{number:04}.png").write_bytes(blobs[0].data)

    started = time.perf_counter()
    await asyncio.gather(*(make(number, request) for number, request in enumerate(requests)))
    seconds = time.perf_counter() - started
    await client.aio.aclose()
    return seconds


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(asyncio.run(main(sys.argv[1], given, Path(sys.argv[3]))))
