"""The finish of a shot's cuts: from the cells of a draft to a checked Finish."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callsheet.cuts.finishing.brand import MAX_CAPTION_BYTES, MAX_PICTURE_BYTES, card_picture, logo_picture
from callsheet.cuts.finishing.captions import read_captions, spread_text
from callsheet.cuts.finishing.lettering import missing_glyphs
from callsheet.cuts.framing.geometry import ALLOWED, parse_focus
from callsheet.cuts.sound.stems import MAX_MUSIC_BYTES, sound_type
from callsheet.errors import MediaError, SettingsError, UsageError
from callsheet.manifest.draft import Draft
from callsheet.manifest.inputs import InputFiles, InputKind, Refused, picture_type
from callsheet.manifest.problems import Findings, quote_value
from callsheet.shots import LABEL, Finish, Reference

MAX_LABEL_CHARS = 80
MAX_CAPTION_CHARS = 5_000
COLUMNS_OF_FINISH = ("focus", "captions", "logo", "end_card", "music", "label")
CAPTION_FILES = (".srt", ".vtt")
_YES, _NO = ("yes", "true", "on"), ("no", "false", "off")


def captions_type(data: bytes) -> str | None:
    """Return the MIME type of captions, None for none.

    WebVTT by its signature, else SRT where there is an arrow between two times.
    """
    text = data.removeprefix(b"\xef\xbb\xbf")
    if text.startswith(b"WEBVTT"):
        return "text/vtt"
    return "application/x-subrip" if b"-->" in text else None


def _check_drawable(draw: Callable[[bytes, int, int], object]) -> Callable[[bytes, str], None]:
    """Return a check that the picture can be drawn."""

    def check(data: bytes, name: str) -> None:
        try:
            draw(data, 64, 64)
        except MediaError as error:
            raise MediaError(f"{quote_value(name)}: {error}") from None

    return check


_PICTURES = "allowed: PNG, JPEG or WebP"
LOGO = InputKind("logo", _PICTURES, picture_type, MAX_PICTURE_BYTES, _check_drawable(logo_picture))
CARD = InputKind("end card", _PICTURES, picture_type, MAX_PICTURE_BYTES, _check_drawable(card_picture))
MUSIC = InputKind("audio file", "allowed: WAV, MP3, M4A, AAC, Ogg or FLAC", sound_type, MAX_MUSIC_BYTES)


def read_font(path: Path | None) -> Reference | None:
    """Read the user's own font; raise SettingsError when it cannot be used."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
        missing_glyphs("a", path)
    except (OSError, MediaError) as error:
        raise SettingsError(f"CALLSHEET_FONT: {error} Name a TTF, OTF or TTC file, or none.") from None
    mime_type = {b"OTTO": "font/otf", b"ttcf": "font/collection"}.get(data[:4], "font/ttf")
    return Reference(str(path.resolve()), hashlib.sha256(data).hexdigest(), mime_type, len(data))


@dataclass(frozen=True, slots=True)
class Finishing:
    """Reads the finish of the shots of one manifest.

    `focus` is for those that do not name one, `font` the user's own.
    """

    findings: Findings
    inputs: InputFiles
    focus: str = "auto"
    font: Reference | None = None

    def of(self, draft: Draft, clip_s: float) -> Finish:
        """Return the finish of a shot whose clip will be `clip_s` seconds long.

        It is worthless if a problem was noted.
        """
        if draft.cells.keys().isdisjoint(COLUMNS_OF_FINISH):
            return Finish(self.focus)
        captions = draft.text("captions")
        by_file = captions is not None and captions.lower().endswith(CAPTION_FILES) and "\n" not in captions
        label = self._read_label(draft)
        return Finish(
            focus=self._read_focus(draft),
            captions=None if by_file else self._read_captions(draft, clip_s),
            captions_file=self._open_file(draft, "captions", self._make_captions_kind()) if by_file else None,
            logo=self._open_file(draft, "logo", LOGO),
            end_card=self._open_file(draft, "end_card", CARD),
            music=self._open_file(draft, "music", MUSIC),
            label=label,
            font=self.font if captions or label else None,
        )

    def _make_captions_kind(self) -> InputKind:
        def check(data: bytes, name: str) -> None:
            text = "\n".join(cue.text for cue in read_captions(data, quote_value(name)))
            if missing := missing_glyphs(text, self._get_font_path()):
                raise MediaError(
                    f"{quote_value(name)} has characters that no font here can show: {quote_value(missing)}"
                )

        return InputKind("captions file", "allowed: SRT or WebVTT", captions_type, MAX_CAPTION_BYTES, check)

    def _get_font_path(self) -> Path | None:
        return Path(self.font.uri) if self.font else None

    def _read_focus(self, draft: Draft) -> str:
        text = draft.text("focus")
        if text is None:
            return self.focus
        try:
            return parse_focus(text).text
        except UsageError as error:
            what = str(error).partition(". Allowed: ")[0].rstrip(".")
            self._note_problem(draft, "focus", what, allowed=f"allowed: {ALLOWED}")
            return "auto"

    def _read_label(self, draft: Draft) -> str | None:
        word = (draft.text("label") or "no").lower()
        if word in _NO:
            return None
        return LABEL if word in _YES else self._read_words(draft, "label", MAX_LABEL_CHARS)

    def _read_captions(self, draft: Draft, clip_s: float) -> str | None:
        text = self._read_words(draft, "captions", MAX_CAPTION_CHARS)
        try:
            if text is not None and len(text) <= MAX_CAPTION_CHARS:
                spread_text(text, clip_s)
        except MediaError as error:
            self._note_problem(draft, "captions", str(error).rstrip("."))
        return text

    def _read_words(self, draft: Draft, column: str, most: int) -> str | None:
        text = draft.text(column)
        if text is None:
            return None
        if len(text) > most:
            self._note_problem(
                draft, column, f"the text has {len(text)} characters", allowed=f"allowed: at most {most}"
            )
        elif missing := missing_glyphs(text, self._get_font_path()):
            what = f"no font here can show {quote_value(missing)}"
            self._note_problem(
                draft, column, what, allowed="allowed: characters of the shipped fonts, or of CALLSHEET_FONT"
            )
        return text

    def _open_file(self, draft: Draft, column: str, kind: InputKind) -> Reference | None:
        location = draft.text(column)
        if location is None:
            return None
        opened = self.inputs.open(location, kind)
        if isinstance(opened, Refused):
            self._note_problem(draft, column, opened.what, allowed=opened.allowed, suggestion=opened.suggestion)
            return None
        return opened

    def _note_problem(self, draft: Draft, column: str, what: str, *, allowed: str = "", suggestion: str = "") -> None:
        draft.problem(self.findings, column, what, allowed, suggestion)
