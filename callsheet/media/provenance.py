"""Marking derived files as made by AI, in XMP.

The provider's own files are never touched.
"""

from __future__ import annotations

import html
import shutil
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.files import replacing
from callsheet.media.containers import read_top_boxes

# IPTC NewsCodes, http://cv.iptc.org/newscodes/digitalsourcetype/, checked 2026-11-21.
AI_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# XMP specification part 3, "MPEG-4"; the box is ignored by players.
XMP_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_JPEG_HEADER = b"http://ns.adobe.com/xap/1.0/\x00"
_MAX_JPEG_XMP = 0xFFFF - 2 - len(_JPEG_HEADER)
_MAX_VALUE = 500

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="{source_type}"
    Iptc4xmpExt:AISystemUsed="{model}"
    xmp:CreatorTool="{tool}"
    dc:identifier="{asset_id}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin that a public file states.

    Our id of the asset, the model that made it, and the tool.
    """

    asset_id: str
    model: str
    tool: str = "callsheet"


def xmp_packet(provenance: Provenance) -> str:
    """Return the XMP packet of a file's origin.

    Digital source type, AI system (IPTC Photo Metadata 2025.1), creator tool and asset id.
    """
    return _PACKET.format(
        source_type=AI_GENERATED,
        model=_escape_attribute(provenance.model),
        tool=_escape_attribute(provenance.tool),
        asset_id=_escape_attribute(provenance.asset_id),
    )


def _escape_attribute(value: str) -> str:
    # XML 1.0 allows no control characters or lone surrogates, not even escaped; all of them are unprintable.
    clean = "".join(char for char in value[:_MAX_VALUE] if char == " " or char.isprintable())
    return html.escape(clean, quote=True)


def stamp_jpeg(path: Path, xmp: str) -> None:
    """Put `xmp` into a JPEG in place of any other, without re-encoding.

    Raises MediaError when it is no JPEG.
    """
    data = path.read_bytes()
    payload = xmp.encode()
    if len(payload) > _MAX_JPEG_XMP:
        raise MediaError(f"The XMP packet has {len(payload)} bytes; a JPEG takes {_MAX_JPEG_XMP}.")
    segments, rest = _split_jpeg_head(data, path.name)
    kept = [segment for segment in segments if segment[4:].partition(b"\x00")[0] + b"\x00" != _JPEG_HEADER]
    # JFIF (APP0) must stay first.
    front = 1 if kept and kept[0][1] == 0xE0 else 0
    kept.insert(front, b"\xff\xe1" + (len(_JPEG_HEADER) + len(payload) + 2).to_bytes(2, "big") + _JPEG_HEADER + payload)
    with replacing(path) as part:
        part.write_bytes(b"\xff\xd8" + b"".join(kept) + data[rest:])


def read_jpeg_xmp(path: Path) -> str | None:
    """Return the XMP packet of a JPEG, or None; raise MediaError when it is no JPEG."""
    segments, _ = _split_jpeg_head(path.read_bytes(), path.name)
    found = (segment[4 + len(_JPEG_HEADER) :] for segment in segments if segment[4:].startswith(_JPEG_HEADER))
    packet = next(found, None)
    return None if packet is None else packet.decode(errors="replace")


def _split_jpeg_head(data: bytes, name: str) -> tuple[list[bytes], int]:
    """Return the application segments at the start of a JPEG, and where they end."""
    if data[:2] != b"\xff\xd8":
        raise MediaError(f"{name} is not a JPEG file. Nothing was written to it.")
    segments, at = [], 2
    while data[at : at + 1] == b"\xff" and 0xE0 <= data[at + 1] <= 0xEF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append(data[at:end])
        at = end
    return segments, at


def stamp_mp4(path: Path, xmp: str) -> None:
    """Put `xmp` at the end of an MP4 in place of any that is last there.

    The media data keeps its place.
    """
    payload = XMP_UUID + xmp.encode()
    last = read_top_boxes(path)[-1]
    with replacing(path) as part:
        shutil.copyfile(path, part)
        with part.open("r+b") as file:
            file.seek(last.body)
            file.seek(last.start if last.kind == b"uuid" and file.read(16) == XMP_UUID else last.end)
            file.write((len(payload) + 8).to_bytes(4, "big") + b"uuid" + payload)
            file.truncate()


def read_mp4_xmp(path: Path) -> str | None:
    """Return the XMP packet of an MP4, or None.

    Raises MediaError when it is no whole MP4.
    """
    with path.open("rb") as file:
        for box in read_top_boxes(path):
            file.seek(box.body)
            if box.kind == b"uuid" and file.read(16) == XMP_UUID:
                return file.read(box.end - box.body - 16).decode(errors="replace")
    return None
