"""The environment of the tests: nothing that the machine happens to have set reaches them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Real seconds: the service's clips are made in less than a second of real time.
FIRST_LOOK_S = 0.3
PLATFORMS = "CALLSHEET_PLATFORMS"
FOREIGN = ("CALLSHEET_", "GOOGLE_", "GEMINI_", "PREFECT_", "STORAGE_EMULATOR")


def clean_environment() -> None:
    """Forget what the machine has set; to be called before anything imports gcsfs or Prefect."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            del os.environ[name]
    # Compiling all modules and rewriting all asserts anew costs each of some hundred processes seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Without it every operation of gcsfs would probe the bucket type over gRPC.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    os.environ["NO_GCE_CHECK"] = "true"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ[PLATFORMS] = str(Path(__file__).with_name("small_platforms.yaml"))
    # Each HTTP client reads all certificates that it trusts, on loopback too: hundreds of them, 0.06 s of CPU a time.
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("trusted.pem"))
