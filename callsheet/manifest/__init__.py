"""Manifests: CSV, TSV and YAML files of prompts, read and checked as a whole."""

from __future__ import annotations

from callsheet.manifest.columns import COLUMNS
from callsheet.manifest.reader import (
    WHOLE,
    CheckRules,
    Manifest,
    ManifestFile,
    UserValues,
    check_manifest,
    load_manifest,
    read_manifest,
)

__all__ = [
    "COLUMNS",
    "WHOLE",
    "CheckRules",
    "Manifest",
    "ManifestFile",
    "UserValues",
    "check_manifest",
    "load_manifest",
    "read_manifest",
]
