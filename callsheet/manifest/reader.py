"""read_manifest: from a location to a checked Manifest, or to its problems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Literal

from callsheet.errors import ManifestError, Problem
from callsheet.google_sheets import parse_sheet_address
from callsheet.imports import hide_package, pause_collection
from callsheet.manifest.chains import Chains, expand_edits, read_links
from callsheet.manifest.columns import MAX_TOTAL_CHARS, Cell
from callsheet.manifest.draft import Draft, complete, is_known_column, size, warn_of_idle_columns
from callsheet.manifest.heading import read_budget, read_campaign_name
from callsheet.manifest.inputs import InputFiles, pictures
from callsheet.manifest.left_out import LeftOut, OnBadRow, concern_rows, find_left_out
from callsheet.manifest.load import Loaded, RawManifest, is_workbook, load_table, load_yaml, restore_variables
from callsheet.manifest.model_rules import ANYWHERE, Legality, Serving
from callsheet.manifest.problems import Findings, Unsendable, quote_value
from callsheet.manifest.spellings import check_texts, respell, take_json_literally, warn_of_foreign_placeholders
from callsheet.manifest.status_columns import drop_status
from callsheet.manifest.table_shape import decode_sheet
from callsheet.manifest.yaml_schema import NOT_DEFAULTS
from callsheet.models import Catalogue
from callsheet.platforms import Platforms, load_platforms
from callsheet.shots import Shot
from callsheet.sources import read_bytes, split_sheet

WHOLE = slice(None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose every shot is legal.

    `sha256` covers the file, its table and the variables of the user. `budget_usd` is None when the file sets none;
    `warnings` do not stop a batch. `unsendable` are the requests that may not be sent, which matters for those that
    were not sent before. `source` are the bytes of the file, as they were read. `unused` are headers that nothing uses.
    `left_out` are shots whose rows are wrong, and which are not among the others; `places` are the ids of all of them.
    """

    uri: str
    campaign: str
    sha256: str
    budget_usd: Decimal | None
    shots: tuple[Shot, ...]
    warnings: tuple[Problem, ...] = ()
    unsendable: tuple[Unsendable, ...] = ()
    source: bytes = field(default=b"", repr=False)
    unused: tuple[Problem, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserValues:
    """What a user gives besides the file.

    `variables` and `defaults` win over the file's own `vars` and `defaults`, not over a shot; `campaign` over its own.
    `columns` maps a column to a header of a foreign table, whose cells are then taken literally.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    campaign: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What the shots of a manifest are held against.

    With `live` a retired model is a problem, without it a warning. Files must lie beside the manifest or below
    `input_roots`. `platforms` are those that cuts may name, the built-in ones by default; `focus` is for shots that do
    not name one, `font` the user's own for captions and labels. `serving` says where requests go. Of a `stretch` of the
    shots only these are looked at closely, their files read, and returned. One that a program sent (`is_sent`) has no
    files beside it. `on_bad_row` says what becomes of a row that is wrong in itself.
    """

    catalogue: Catalogue
    today: date
    live: bool = False
    input_roots: tuple[str, ...] = ()
    platforms: Platforms | None = None
    focus: str = "auto"
    font: Path | None = None
    serving: Serving = ANYWHERE
    stretch: slice = field(default_factory=lambda: WHOLE)
    is_sent: bool = False
    on_bad_row: OnBadRow = "stop"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest that was read, once, with its table; it is checked once, too.

    `campaign` is None when it cannot be known, for what is wrong with the file.
    """

    uri: str
    data: bytes
    values: UserValues
    loaded: Loaded
    campaign: str | None
    findings: Findings


def read_manifest(uri: str, rules: CheckRules, values: UserValues | None = None) -> Manifest:
    """Read and check the manifest at a local path or fsspec URI.

    Raises ManifestError with all problems of all rows, SettingsError when the font cannot be used.
    """
    return check_manifest(load_manifest(uri, values or UserValues()), rules)


def load_manifest(uri: str, values: UserValues) -> ManifestFile:
    """Read a manifest and the table that it names, unchecked.

    Raises ManifestError when the file cannot be read; what is wrong inside it is for `check_manifest` to raise.
    """
    findings = Findings()
    place, sheet = split_sheet(uri)
    data = read_bytes(place)
    of_google = parse_sheet_address(uri)
    name = of_google.name if of_google else place
    _check_text(values.variables, uri)
    text = "" if is_workbook(name) else decode_sheet(data, name, findings)
    raw = RawManifest(name, text, values.columns, values.variables, findings, data, sheet)
    loaded = _load(raw, "prompt" in values.defaults)
    campaign = read_campaign_name(uri if of_google is None else name, values.campaign, loaded, findings=findings)
    known = concern_rows(findings.problems, loaded.drafts)
    return ManifestFile(uri, data, values, loaded, campaign if known else None, findings)


def check_manifest(file: ManifestFile, rules: CheckRules) -> Manifest:
    """Return the manifest whose every shot is legal, its drafts completed and checked.

    Where rows that are wrong are left out, a problem of the whole sheet stops it all the same, and so does a sheet
    without a row that is right. Raises ManifestError with all problems of all rows, SettingsError when the font cannot
    be used.
    """
    uri, loaded, findings = file.uri, file.loaded, file.findings
    chosen = _merge_defaults(loaded, file.values.defaults, uri, findings=findings)
    restore_variables(loaded.drafts, chosen)
    take_json_literally(loaded.drafts)
    warn_of_foreign_placeholders(loaded.drafts, findings)
    _complete(loaded, chosen, findings)
    respell(loaded.drafts, rules.catalogue, findings)
    loaded.drafts = expand_edits(loaded.drafts, findings)
    check_texts(loaded.drafts, findings)
    shots = _build_shots(
        loaded.drafts, rules, findings, InputFiles(split_sheet(uri)[0], rules.input_roots, is_sent=rules.is_sent)
    )
    budget = read_budget(uri, loaded, findings)
    findings.name_cells()
    left_out = find_left_out(loaded.drafts, findings) if rules.on_bad_row == "skip" else {}
    places = range(len(loaded.drafts))[rules.stretch]
    shots = tuple(shot for place, shot in zip(places, shots, strict=True) if place not in left_out)
    if not left_out or not shots:
        findings.raise_if_any()
    return Manifest(
        uri,
        file.campaign or "",
        _hash_manifest(file, loaded),
        budget,
        shots,
        (*findings.warnings, *findings.near_misses),
        (*findings.unsendable, *_bar_near_misses(shots, findings, live=rules.live)),
        file.data,
        tuple(findings.unused),
        tuple(left_out[place] for place in places if place in left_out),
        tuple(draft.text("id") or "" for draft in loaded.drafts),
    )


def _bar_near_misses(shots: Sequence[Shot], findings: Findings, *, live: bool) -> list[Unsendable]:
    """Return what keeps a live run from paying while a column is misspelt."""
    kinds: tuple[Literal["image", "video"], ...] = ("image", "video")
    barred = findings.near_misses if live else []
    return [Unsendable(shot.id, kind, each, of_sheet=True) for each in barred for shot in shots for kind in kinds]


def _check_text(given: Mapping[str, str], uri: str) -> None:
    """Raise ManifestError for a variable that is no text.

    That is, bytes of the command line that are not UTF-8.
    """
    if strange := [name for name, text in given.items() if any("\ud800" <= c <= "\udfff" for c in text)]:
        what = f"the value of {quote_value(strange[0])} is not UTF-8"
        raise ManifestError((Problem(uri, 1, "vars", what, "allowed: text", "type it again in a UTF-8 terminal"),))


def _load(raw: RawManifest, defaulted: bool) -> Loaded:
    kind = PurePosixPath(raw.uri.partition("?")[0]).suffix.lower()
    if kind in (".csv", ".tsv", ".tab") or is_workbook(raw.uri):
        return load_table(raw, tabs=kind != ".csv", defaulted=defaulted)
    if kind in (".yaml", ".yml"):
        return load_yaml(raw)
    raw.findings.problem(
        Problem(
            raw.uri,
            1,
            "-",
            f"unknown kind of file {quote_value(kind)}",
            "allowed: .csv, .tsv, .xlsx, .yaml, .yml",
            "rename it",
        )
    )
    return Loaded([])


def _complete(loaded: Loaded, defaults: Mapping[str, Cell], findings: Findings) -> None:
    room = MAX_TOTAL_CHARS
    for draft in loaded.drafts:
        complete(draft, defaults, findings)
        room -= size(draft)
        if room < 0:
            what = "all shots together hold too much text from here on"
            findings.problem(
                Problem(draft.file, draft.line, "-", what, f"allowed: {MAX_TOTAL_CHARS} characters", "split it")
            )
            loaded.drafts.clear()
            return
        of_text = draft.text("takes") == "0" and "motion_prompt" in draft.cells
        if loaded.prompted and not of_text:
            # A blank prompt is a value that the table check refuses; an absent one is not checked.
            draft.cells.setdefault("prompt", "")


def _build_shots(
    drafts: Sequence[Draft], rules: CheckRules, findings: Findings, inputs: InputFiles
) -> tuple[Shot, ...]:
    # pandera takes a second to import; commands that read no manifest need not wait for it.
    with pause_collection(), hide_package("hypothesis"):  # pandera makes up data with it: half a second
        from callsheet.manifest.cell_rules import check_table
    from callsheet.manifest.build_shots import Assembler
    from callsheet.manifest.finish import Finishing, read_font
    from callsheet.manifest.picture_cells import PictureCells, add_video_links

    links = add_video_links(drafts, read_links(drafts, findings), findings)
    parents = links.parents
    for index, draft in enumerate(drafts):
        warn_of_idle_columns(draft, findings, is_parent=index in parents)
    wrong = check_table(drafts, findings)
    kind = pictures(max((model.max_bytes for model in rules.catalogue.models()), default=0))
    legality = Legality(rules.catalogue, rules.live, rules.today, findings, rules.serving)
    finishing = Finishing(findings, inputs, rules.focus, read_font(rules.font))
    sent = PictureCells(findings, inputs, kind)
    platforms = rules.platforms or load_platforms()
    return Assembler(legality, platforms, sent, finishing, wrong, Chains(drafts, links, parents)).shots(rules.stretch)


def _merge_defaults(loaded: Loaded, given: Mapping[str, str], uri: str, *, findings: Findings) -> dict[str, Cell]:
    for name in given:
        is_known_column(name, (uri, 1), findings, where="defaults", barred=NOT_DEFAULTS)
    return {**loaded.defaults, **{name: text for name, text in given.items() if text}}


def _hash_manifest(file: ManifestFile, loaded: Loaded) -> str:
    """Return the sha256 of a manifest.

    It is that of the file alone when it stands alone, so that anyone can check it with sha256sum.
    """
    data = drop_status(file.data, tabs=not file.uri.endswith(".csv")) if loaded.is_copy else file.data
    digest, variables = hashlib.sha256(data), file.values.variables
    if sheet := split_sheet(file.uri)[1]:
        digest.update(f"\0#{sheet}".encode())
    if loaded.table is not None or variables:
        digest.update(b"\0")
        digest.update(loaded.table or b"")
        # The path of a table is not its content: the same table elsewhere is the same manifest.
        names = sorted(name for name in variables if name != loaded.table_variable)
        digest.update("".join(f"\0{name}\0{variables[name]}" for name in names).encode())
    return digest.hexdigest()
