"""The environment of the tests: nothing that the machine happens to have set reaches them."""

from __future__ import annotations

import os

FOREIGN = ("CALLSHEET_", "GOOGLE_", "GEMINI_", "PREFECT_", "STORAGE_EMULATOR")


def clean_environment() -> None:
    """Forget what the machine has set; to be called before anything imports gcsfs or Prefect."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            del os.environ[name]
    # Without it every operation of gcsfs would probe the bucket type over gRPC.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    os.environ["NO_GCE_CHECK"] = "true"
    os.environ["DO_NOT_TRACK"] = "1"
