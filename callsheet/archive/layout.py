"""Names of files in the archive, from values alone.

All are relative to the archive or to the shot's folder.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import unicodedata
from datetime import date
from pathlib import Path
from urllib.parse import quote

from callsheet.sources import split_sheet

# Asks for a Google login and then gives the object to whoever may read it
# (docs.cloud.google.com/storage/docs/request-endpoints#cookieauth, checked 2026-11-21).
_BROWSER_DOWNLOADS = "https://storage.cloud.google.com/"
_WORKBOOK_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def link_to(uri: str, *, beside: Path | None = None) -> str:
    """Return the address of an archived file.

    `file:` for a path, an authenticated download for `gs://`. `beside` is the folder of the page that has the link: a
    file in the same folder or below it gets a relative one.
    """
    if uri.startswith("gs://"):
        return _BROWSER_DOWNLOADS + quote(uri.removeprefix("gs://"))
    path = Path(os.path.normpath(uri))
    if beside is not None and path.is_relative_to(beside):
        return quote(path.relative_to(beside).as_posix())
    return f"file://{quote(str(path))}"


SIDECAR = "shot.json"
PLAN = "plan.json"
GALLERY = "gallery.html"
SUCCESS = "_SUCCESS.json"
CLAIM = "_LEDGER.json"
CATALOGUE = "catalog"
INPUTS = "inputs"
SPOTS = "spots"
# What the name of a file in a folder never holds.
OUTSIDE = r"[/\\\x00-\x1f]"

_HASH = 12
STATUS_SHEET = re.compile(r"sheet\.status\.(csv|tsv|tab|xlsx)")
SENT_ROWS = re.compile(r"rows-[0-9a-f]{12}\.csv")
# A folder name longer than this is cut: file systems allow 255 bytes, and people read these.
_MAX_FOLDER = 120
_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/bmp": "bmp",
    "image/tiff": "tiff",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "text/vtt": "vtt",
    "application/x-subrip": "srt",
    "application/json": "json",
}


def extension(mime_type: str) -> str:
    """Return the file extension of a MIME type, without a dot; "bin" if unknown."""
    known = mime_type.partition(";")[0].strip().lower()
    return _EXTENSIONS.get(known) or (mimetypes.guess_extension(known) or ".bin")[1:]


def content_type(name: str) -> str:
    """Return the MIME type that a file's name stands for."""
    told = {suffix: kind for kind, suffix in _EXTENSIONS.items() if kind.startswith("image/")}
    if (known := told.get(name.rpartition(".")[2].lower())) is not None:
        return known
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def folder_name(shot: str) -> str:
    """Return the name of the shot's folder.

    It is the shot's id where that is a safe name, else a cleaned id with eight digits of its hash.
    """
    name = unicodedata.normalize("NFC", shot)
    cleaned = "".join("_" if _is_unsafe(character) else character for character in name).strip(". ") or "shot"
    cut = cleaned.encode()[:_MAX_FOLDER].decode(errors="ignore")
    if cut == shot:
        return shot
    return f"{cut}-{hashlib.sha256(shot.encode(errors='surrogatepass')).hexdigest()[:8]}"


def shot_folder(prefix: str, shot: str) -> str:
    """Return the folder of a shot in the batch at `prefix` (Batch.prefix)."""
    return f"{prefix}/shots/{folder_name(shot)}"


def sidecar_name(prefix: str, shot: str) -> str:
    """Return the name of a shot's sidecar."""
    return f"{shot_folder(prefix, shot)}/{SIDECAR}"


def take_name(number: int, sha256: str, mime_type: str) -> str:
    """Return `take-2-<sha12>.png`, inside the shot's folder."""
    return _build_name(("take", str(number)), sha256, mime_type)


def clip_name(sha256: str, mime_type: str, *, take: int | None = None, variant: int = 1) -> str:
    """Return `clip-<sha12>.mp4`, or `clip-2-<sha12>.mp4` with the take's number.

    The number is given when the shot has clips of several takes. A further clip of the same frame has its own number:
    `clip-v2-<sha12>.mp4`.
    """
    return _build_name(("clip", _format_number(take), f"v{variant}" if variant > 1 else ""), sha256, mime_type)


def cut_name(spec: str, sha256: str, mime_type: str, *, take: int | None = None) -> str:
    """Return `cut-9x16-<sha12>.mp4`.

    The take's number stands before the hash when the shot has clips of several takes.
    """
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", spec.replace(":", "x")).strip("-") or "cut"
    return _build_name(("cut", readable[:40], _format_number(take)), sha256, mime_type)


def extra_name(number: int, sha256: str, mime_type: str) -> str:
    """Return `extra-2-<sha12>.png`: a further picture of the reply that gave take 2."""
    return _build_name(("extra", str(number)), sha256, mime_type)


def poster_name(sha256: str, mime_type: str) -> str:
    """Return `poster-<sha12>.jpg`: the still that stands for a clip or cut."""
    return _build_name(("poster",), sha256, mime_type)


def thumbnail_name(sha256: str, mime_type: str) -> str:
    """Return `thumb-<sha12>.jpg`: a small copy of a picture."""
    return _build_name(("thumb",), sha256, mime_type)


def input_name(prefix: str, sha256: str, mime_type: str) -> str:
    """Return `<batch>/inputs/<sha12>.png`: a file used to finish the batch's cuts.

    It is there once for the whole batch.
    """
    return f"{prefix}/{INPUTS}/{_build_name((), sha256, mime_type)}"


def is_input(prefix: str, name: str) -> bool:
    """Return whether this is the name of a file used to finish the batch's cuts."""
    return re.fullmatch(rf"{re.escape(prefix)}/{INPUTS}/[0-9a-f]{{12}}\.\w+", name) is not None


def spot_name(prefix: str, name: str, what: str, sha256: str, mime_type: str) -> str:
    """Return `<batch>/spots/<name>-<sha12>.mp4`, or that of a file beside it.

    `what` names the file beside it: `<name>-poster-<sha12>.jpg`.
    """
    return f"{prefix}/{SPOTS}/{_build_name((name, what), sha256, mime_type)}"


def is_spot(prefix: str, name: str) -> bool:
    """Return whether this is the name of a spot, or of a picture or record of one."""
    return re.fullmatch(rf"{re.escape(prefix)}/{SPOTS}/[\w.-]+-[0-9a-f]{{12}}\.(mp4|jpg|json)", name) is not None


def is_file_name(name: str) -> bool:
    """Return whether this is the name of a file in a folder.

    And of nothing outside it.
    """
    return name not in ("", ".", "..") and not re.search(OUTSIDE, name)


def is_asset_name(file: str) -> bool:
    """Return whether a file in a shot's folder has a name of the kinds above."""
    return re.fullmatch(r"(take|clip|cut|poster|thumb|extra)-([\w-]+-)?[0-9a-f]{12}\.\w+", file) is not None


def document(prefix: str, name: str) -> str:
    """Return the name of a document of the batch: plan, gallery, success marker."""
    return f"{prefix}/{name}"


def manifest_name(prefix: str, uri: str) -> str:
    """Return the name of the batch's copy of its manifest.

    `manifest.csv`, `manifest.yaml`.
    """
    suffix = re.search(r"\.[A-Za-z0-9]{1,8}$", split_sheet(uri)[0])
    return f"{prefix}/manifest{suffix.group().lower() if suffix else ''}"


def manifest_type(name: str) -> str:
    """Return the content type of a manifest's copy: plain text, or a workbook."""
    return _WORKBOOK_TYPE if name.endswith((".xlsx", ".xlsm")) else "text/plain; charset=utf-8"


def is_manifest(prefix: str, name: str) -> bool:
    """Return whether this is the name of the batch's copy of its manifest."""
    return re.fullmatch(rf"{re.escape(prefix)}/manifest(\.[a-z0-9]{{1,8}})?", name) is not None


def holds_manifest(prefix: str, name: str) -> bool:
    """Return whether a file is a manifest of the batch: its copy, sent rows, status."""
    own = name.removeprefix(f"{prefix}/")
    return is_manifest(prefix, name) or SENT_ROWS.fullmatch(own) is not None or STATUS_SHEET.fullmatch(own) is not None


def name_sent_rows(sha256: str) -> str:
    """Return `rows-<sha12>.csv`: the rows that a program sent as a manifest."""
    return f"rows-{sha256[:_HASH]}.csv"


def locate_sent_rows(home: Path) -> Path:
    """Return the folder in which rows that were sent are checked."""
    return home.absolute() / "rows"


def is_sent_rows(uri: str, archive_uri: str, home: Path) -> bool:
    """Return whether a manifest's address is one of rows that a program sent."""
    below = uri.startswith((f"{archive_uri.rstrip('/')}/", f"{locate_sent_rows(home)}/"))
    return below and SENT_ROWS.fullmatch(uri.rpartition("/")[2]) is not None


def is_sidecar(name: str) -> bool:
    """Return whether this is the name of a sidecar.

    `<campaign>/<batch>/shots/<shot>/shot.json`.
    """
    parts = name.split("/")
    return len(parts) == 5 and parts[2] == "shots" and parts[4] == SIDECAR


def catalogue_part(batch: str, on: date, number: int) -> str:
    """Return `catalog/dt=YYYY-MM-DD/<batch>-<n>.parquet`."""
    return f"{CATALOGUE}/dt={on.isoformat()}/{batch}-{number}.parquet"


def part_of(name: str) -> tuple[date, str, int] | None:
    """Return day, batch and n of a catalogue part, None for every other name."""
    found = re.fullmatch(rf"{CATALOGUE}/dt=(\d{{4}}-\d\d-\d\d)/([^/]+)-(\d{{1,9}})\.parquet", name, re.ASCII)
    try:
        return (date.fromisoformat(found[1]), found[2], int(found[3])) if found else None
    except ValueError:  # a day that no calendar has
        return None


def _build_name(parts: tuple[str, ...], sha256: str, mime_type: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"not a sha256 in hex digits: {sha256!r}")
    return "-".join((*(part for part in parts if part), sha256[:_HASH])) + f".{extension(mime_type)}"


def _format_number(take: int | None) -> str:
    return "" if take is None else str(take)


def _is_unsafe(character: str) -> bool:
    # Separators, what Windows forbids, and what cannot be seen: control, format (text direction), surrogates.
    return character in '/\\:*?"<>|' or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
