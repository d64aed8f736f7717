"""read_manifest: from a location to a checked Manifest, or to its problems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath

from callsheet.errors import ManifestError, Problem
from callsheet.manifest.columns import CAMPAIGN, MAX_TOTAL_CHARS, Cell
from callsheet.manifest.draft import Draft, complete, is_known_column, size
from callsheet.manifest.expand import slug
from callsheet.manifest.inputs import InputFiles, pictures
from callsheet.manifest.load import Loaded, RawManifest, load_table, load_yaml
from callsheet.manifest.model_rules import ANYWHERE, Legality, Serving
from callsheet.manifest.problems import Findings, Unsendable, quote_value
from callsheet.manifest.yaml_schema import NOT_DEFAULTS
from callsheet.models import Catalogue
from callsheet.platforms import Platforms, load_platforms
from callsheet.shots import Shot
from callsheet.sources import decode, read_bytes

_MAX_BUDGET = Decimal(10_000_000)
WHOLE = slice(None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose every shot is legal.

    `sha256` covers the file, its table and the variables of the user. `budget_usd` is None when the file sets none;
    `warnings` do not stop a batch. `unsendable` are the requests that may not be sent, which matters for those that
    were not sent before.
    """

    uri: str
    campaign: str
    sha256: str
    budget_usd: Decimal | None
    shots: tuple[Shot, ...]
    warnings: tuple[Problem, ...] = ()
    unsendable: tuple[Unsendable, ...] = ()


def read_manifest(
    uri: str,
    *,
    catalogue: Catalogue,
    today: date,
    live: bool = False,
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    campaign: str | None = None,
    input_roots: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    stretch: slice = WHOLE,
    platforms: Platforms | None = None,
    focus: str = "auto",
    font: Path | None = None,
    serving: Serving = ANYWHERE,
) -> Manifest:
    """Read the manifest at a local path or fsspec URI.

    Raises ManifestError with all problems of all rows. `columns` maps a column to a header of a foreign table, whose
    cells are then taken literally. `defaults` and `variables` win over the file's own `defaults` and `vars`, not over a
    shot. With `live` a retired model is a problem, without it a warning. Files must lie beside the manifest or below
    `input_roots`. Of a `stretch` of the shots only these are looked at closely, their files read, and returned.
    `platforms` are those that cuts may name, the built-in ones by default; `focus` is for shots that do not name one,
    `font` the user's own for captions and labels (SettingsError when it cannot be used). `serving` says where requests
    go.
    """
    findings = Findings()
    data = read_bytes(uri)
    given = dict(variables or {})
    _check_text(given, uri)
    raw = RawManifest(uri, decode(data, uri), columns or {}, given, findings)
    loaded = _load(raw, "prompt" in (defaults or {}))
    chosen = _merge_defaults(loaded, defaults or {}, uri, findings=findings)
    _complete(loaded, chosen, findings)
    legality, inputs = Legality(catalogue, live, today, findings, serving), InputFiles(uri, input_roots)
    materials = _Materials(legality, platforms or load_platforms(), inputs, focus, font)
    shots = _build_shots(loaded.drafts, stretch, materials)
    name = _read_campaign_name(uri, campaign, loaded, findings=findings)
    budget = _read_budget(uri, loaded, findings)
    findings.raise_if_any()
    return Manifest(
        uri,
        name,
        _hash_manifest(data, loaded, given),
        budget,
        shots,
        tuple(findings.warnings),
        tuple(findings.unsendable),
    )


def read_campaign(uri: str, campaign: str | None, variables: Mapping[str, str]) -> str | None:
    """Return the campaign of the manifest, whatever is wrong with its shots.

    None when that cannot be known.
    """
    findings = Findings()
    try:
        loaded = _load(RawManifest(uri, decode(read_bytes(uri), uri), {}, dict(variables), findings), False)
        name = _read_campaign_name(uri, campaign, loaded, findings=findings)
        findings.raise_if_any()
    except ManifestError:
        return None
    return name


def _check_text(given: Mapping[str, str], uri: str) -> None:
    """Raise ManifestError for a variable that is no text.

    That is, bytes of the command line that are not UTF-8.
    """
    if strange := [name for name, text in given.items() if any("\ud800" <= c <= "\udfff" for c in text)]:
        what = f"the value of {quote_value(strange[0])} is not UTF-8"
        raise ManifestError((Problem(uri, 1, "vars", what, "allowed: text", "type it again in a UTF-8 terminal"),))


def _load(raw: RawManifest, defaulted: bool) -> Loaded:
    kind = PurePosixPath(raw.uri.partition("?")[0]).suffix.lower()
    if kind in (".csv", ".tsv", ".tab"):
        return load_table(raw, tabs=kind != ".csv", defaulted=defaulted)
    if kind in (".yaml", ".yml"):
        return load_yaml(raw)
    raw.findings.problem(
        Problem(
            raw.uri,
            1,
            "-",
            f"unknown kind of file {quote_value(kind)}",
            "allowed: .csv, .tsv, .yaml, .yml",
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


@dataclass(frozen=True, slots=True)
class _Materials:
    """The things that shots are built with besides their drafts."""

    legality: Legality
    platforms: Platforms
    inputs: InputFiles
    focus: str
    font: Path | None


def _build_shots(drafts: Sequence[Draft], stretch: slice, materials: _Materials) -> tuple[Shot, ...]:
    # pandera takes a second to import; commands that read no manifest need not wait for it.
    from callsheet.manifest.build_shots import Assembler, warn_of_idle_columns
    from callsheet.manifest.cell_rules import check_table
    from callsheet.manifest.finish import Finishing, read_font

    legality, inputs = materials.legality, materials.inputs
    findings = legality.findings
    for draft in drafts:
        warn_of_idle_columns(draft, findings)
    wrong = check_table(drafts, findings)
    sent = pictures(max((model.max_bytes for model in legality.catalogue.models()), default=0))
    finishing = Finishing(findings, inputs, materials.focus, read_font(materials.font))
    return Assembler(legality, materials.platforms, inputs, sent, finishing, wrong).shots(drafts, stretch)


def _merge_defaults(loaded: Loaded, given: Mapping[str, str], uri: str, *, findings: Findings) -> dict[str, Cell]:
    for name in given:
        is_known_column(name, (uri, 1), findings, where="defaults", barred=NOT_DEFAULTS)
    return {**loaded.defaults, **{name: text for name, text in given.items() if text}}


def _read_campaign_name(uri: str, given: str | None, loaded: Loaded, *, findings: Findings) -> str:
    written = given if given is not None else loaded.campaign
    if written is None:
        return slug(PurePosixPath(uri.rstrip("/")).stem.replace("_", "-")) or "campaign"
    if not CAMPAIGN.match(written):
        allowed = "allowed: a-z, 0-9, _ and -, first a letter or digit, at most 100 characters"
        hint = f"did you mean {slug(written)}?" if slug(written) else ""
        findings.problem(
            Problem(
                uri, loaded.lines.get("campaign", 1), "campaign", f"{quote_value(written)} is not fit", allowed, hint
            )
        )
    return written


def _read_budget(uri: str, loaded: Loaded, findings: Findings) -> Decimal | None:
    if loaded.budget_usd is None:
        return None
    try:
        budget = Decimal(loaded.budget_usd)
    except InvalidOperation:
        budget = Decimal("NaN")
    if budget.is_finite() and 0 <= budget <= _MAX_BUDGET:
        return budget
    what = f"{quote_value(loaded.budget_usd)} is no budget"
    allowed = f"allowed: US dollars from 0 to {_MAX_BUDGET}, such as 12.50"
    findings.problem(Problem(uri, loaded.lines.get("budget_usd", 1), "budget_usd", what, allowed))
    return None


def _hash_manifest(data: bytes, loaded: Loaded, variables: Mapping[str, str]) -> str:
    """Return the sha256 of a manifest.

    It is that of the file alone when it stands alone, so that anyone can check it with sha256sum.
    """
    digest = hashlib.sha256(data)
    if loaded.table is not None or variables:
        digest.update(b"\0")
        digest.update(loaded.table or b"")
        # The path of a table is not its content: the same table elsewhere is the same manifest.
        names = sorted(name for name in variables if name != loaded.table_variable)
        digest.update("".join(f"\0{name}\0{variables[name]}" for name in names).encode())
    return digest.hexdigest()
