"""The failure script of the chaos run: every fault class that a batch can get over, at every kind of request."""

from __future__ import annotations

from typing import Any

# How long stalls and the waits of a 429 take, on the service's clock.
SECONDS = 30.0
_REFUSED = ("429-minute", "429-bare", "500", "502", "503", "504", "html-503", "array-503", "drop-before")


def _spread(kind: str, faults: tuple[str, ...], start: int, step: int, **more: Any) -> list[dict[str, Any]]:
    """Each fault twice: at its own number of request, and again much later."""
    count = len(faults)
    return [
        {
            "match": {"kind": kind, "nth": [start + step * index, start + step * (index + count)]},
            "fault": fault,
            "seconds": SECONDS,
            "limit": 600,
            **more,
        }
        for index, fault in enumerate(faults)
    ]


# Answers without a picture, once for a prompt: by the rule of one more try a second one would end the job.
_NOTHING = tuple(
    {"match": {"kind": "image", "prompt": rf"number \d*[{digits}]$", "per": "prompt", "nth": [1]}, "fault": fault}
    for fault, digits in (("text-only", "0369"), ("no-image", "147"), ("empty", "258"))
)

FAULTS: tuple[dict[str, Any], ...] = (
    *_NOTHING,
    *_spread("image", _REFUSED, 2, 3),
    *_spread("image", ("500", "504", "502"), 3, 4, accepted=True),
    *_spread("image", ("drop-after", "truncate", "stall", "stall-before"), 4, 3),
    *_spread("video", _REFUSED, 2, 2),
    *_spread("video", ("500", "504", "503"), 3, 3, accepted=True),
    *_spread("video", ("drop-after", "stall", "stall-before", "rai-audio", "op-error"), 5, 3),
    *_spread(
        "poll", ("429-bare", "500", "502", "503", "504", "html-503", "array-503", "drop-before", "drop-after"), 2, 5
    ),
    *_spread("poll", ("stall", "stall-before", "expired", "truncate"), 4, 7),
    *_spread("download", ("500", "503", "drop-before", "drop-after", "truncate", "short", "flip", "expired"), 2, 2),
)

# The day's quota of a model is full, once for each kind: what is left is parked until the day turns.
FULL_DAYS: tuple[dict[str, Any], ...] = (
    {"match": {"kind": "image", "nth": [9]}, "fault": "429-day", "limit": 600},
    {"match": {"kind": "video", "nth": [4]}, "fault": "429-day", "limit": 600},
)
