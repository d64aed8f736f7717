"""Preparing a run: its manifest and credentials are read and checked, once.

What a run is opened with goes on as one value. Credentials of a live batch are judged per shot, and told before
anything is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from callsheet.archive.layout import is_sent_rows
from callsheet.archive.open import open_archive
from callsheet.batch.request import (
    MODEL_DEFAULTS,
    Begun,
    RunRequest,
    as_begun,
    as_new,
    check_edition,
    read_recorded_defaults,
)
from callsheet.clock import Clock
from callsheet.cuts.framing.geometry import parse_focus
from callsheet.errors import ManifestError, SettingsError, UsageError
from callsheet.google_sheets import is_google_sheet
from callsheet.ledger import Ledger
from callsheet.manifest import WHOLE, CheckRules, Manifest, ManifestFile, UserValues, check_manifest, load_manifest
from callsheet.manifest.left_out import list_problems
from callsheet.manifest.model_rules import Serving
from callsheet.models import Catalogue, load_catalogue
from callsheet.models.controls import EVERY_REGION, find_regions
from callsheet.plan import Plan
from callsheet.platforms import Platforms, load_platforms
from callsheet.providers.access import access_to
from callsheet.providers.routing import platform_for
from callsheet.settings import Settings
from callsheet.shots import Batch, Shot

# The service's address for a batch with nothing left to make: nobody listens there, and nothing is sent.
NO_SERVICE = "http://127.0.0.1:1"

log = logging.getLogger(__name__)
HOW_TO_GET_ONE = (
    "Get a Gemini API key at https://aistudio.google.com/apikey, then: export GEMINI_API_KEY=... (pictures and video)."
)
_NAMED = 10


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A request whose manifest has been read and checked.

    Plans and runs are made from it, without another read.
    """

    #: What the run is asked to do.
    request: RunRequest
    #: The settings that it was read with.
    settings: Settings
    #: The manifest. Of a shard it has the shots of this shard alone.
    manifest: Manifest
    #: The models, with the defaults that the batch was begun with.
    catalogue: Catalogue
    #: The batch.
    batch: Batch
    #: The most that a person agreed to pay, in USD; None when nobody was asked.
    agreed_usd: Decimal | None = None
    #: What was on record of how the batch was begun, when it was prepared; None for a new batch.
    begun: Begun | None = None

    @property
    def shots(self) -> tuple[Shot, ...]:
        """Return the shots of the manifest."""
        return self.manifest.shots

    @property
    def budget_usd(self) -> Decimal | None:
        """Return the lowest of the budgets that were given; None without one."""
        given = (self.request.budget_usd, self.manifest.budget_usd, self.settings.budget_usd)
        return min((usd for usd in given if usd is not None), default=None)

    def platforms(self) -> Platforms:
        """Return the platforms of the settings."""
        return load_platforms(self.settings.platforms)

    def with_request(self, request: RunRequest) -> PreparedRun:
        """Return the same manifest, to do something else with it.

        SettingsError when it names shots that the manifest does not have, or contradicts itself; ManifestError when the
        rows of all that it names are wrong.
        """
        _check_scope(request, self.manifest)
        return replace(self, request=request)


async def prepare_run(request: RunRequest, settings: Settings, *, ask_archive: bool = True) -> PreparedRun:
    """Read and check the request's manifest. Creates nothing.

    The models are those that the batch was begun with. A new default is for new batches: shots that do not say would
    all be paid for anew. The archive is asked when the ledger does not tell. UsageError when the manifest is not valid,
    or the request does not go with it.
    """
    check_edition(request.edition)
    today = new_catalogue(settings)
    file = _load(request)
    begun = await _read_begun(settings, _batch(request, file.campaign), ask_archive) if file.campaign else None
    kept = today if begun is None else as_begun(load_catalogue(settings.catalogue), begun)
    prepared = _check(request, settings, file, kept)
    if kept.defaults != today.defaults:
        log.warning(
            "Batch %s goes on with the default models that it was begun with (%s), not with today's. Name models in "
            "the manifest to have others.", prepared.batch.name, ", ".join(kept.defaults.values()),
        )  # fmt: skip
    return replace(prepared, begun=begun)


async def prepare_again(asked: PreparedRun) -> PreparedRun:
    """Return a prepared run as another process has begun its batch meanwhile.

    What was agreed to stands. SettingsError when its manifest is another one by now.
    """
    again = await prepare_run(asked.request, asked.settings)
    if again.manifest.sha256 != asked.manifest.sha256:
        raise SettingsError(f"{asked.request.manifest} has changed meanwhile. Nothing was sent. Run it again.")
    return replace(again, agreed_usd=asked.agreed_usd)


def check_strictly(asked: PreparedRun) -> PreparedRun:
    """Return the run, or raise ManifestError for columns that nothing uses."""
    if asked.manifest.unused:
        raise ManifestError(asked.manifest.unused)
    return asked


def new_catalogue(settings: Settings) -> Catalogue:
    """Return the models with the defaults that a new batch would be begun with."""
    return as_new(load_catalogue(settings.catalogue), settings)


def read_request(request: RunRequest, settings: Settings, catalogue: Catalogue | None = None) -> PreparedRun:
    """Read and check the request's manifest with this catalogue.

    Without one it is that of the settings. UsageError when the manifest is not valid, or the request does not go with
    it.
    """
    check_edition(request.edition)
    return _check(request, settings, _load(request), catalogue or new_catalogue(settings))


def _load(request: RunRequest) -> ManifestFile:
    return load_manifest(request.manifest, UserValues(request.variables, request.campaign))


def _check(request: RunRequest, settings: Settings, file: ManifestFile, catalogue: Catalogue) -> PreparedRun:
    is_sent = is_sent_rows(request.manifest, settings.archive_uri, settings.home) or is_google_sheet(request.manifest)
    rules = CheckRules(
        catalogue,
        datetime.now(UTC).date(),
        live=request.live,
        input_roots=settings.input_roots if is_sent else (*settings.input_roots, settings.archive_uri),
        platforms=load_platforms(settings.platforms),
        focus=focus_of(settings),
        font=settings.font,
        serving=_serving(request, settings),
        stretch=request.shard.stretch if request.shard else WHOLE,
        is_sent=is_sent,
        on_bad_row=request.on_bad_row,
    )
    manifest = check_manifest(file, rules)
    _check_scope(request, manifest)
    batch = _batch(request, manifest.campaign, manifest.uri, manifest.sha256)
    return PreparedRun(request, settings, manifest, catalogue, batch)


def _batch(request: RunRequest, campaign: str, uri: str = "", sha256: str = "") -> Batch:
    return Batch(campaign, request.edition, "live" if request.live else "rehearsal", uri, sha256)


async def _read_begun(settings: Settings, batch: Batch, ask_archive: bool) -> Begun | None:
    """Return the models on record that a batch was begun with.

    It is what ledger or archive tell: None for a new batch, {} for one of which they tell nothing.
    """
    told: Begun | None = None
    if settings.ledger is not None or (settings.home / "ledger.db").exists():
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            rows: Mapping[str, Begun | None] = {row.batch.name: row.request for row in await ledger.batches()}
        told = (rows[batch.name] or {}) if batch.name in rows else None
    if (told and MODEL_DEFAULTS in told) or not ask_archive:
        return told
    store = open_archive(settings)
    try:
        archived = await read_recorded_defaults(store, batch)
    finally:
        await store.aclose()
    return told if archived is None else {**archived, **(told or {})}


def _serving(request: RunRequest, settings: Settings) -> Serving:
    """Return where the requests of a run would go with these settings.

    Any platform when that cannot be told.
    """
    regions = find_regions(settings.region) | (EVERY_REGION if settings.restricted_region else frozenset())
    try:
        access = access_to(settings, "live") if request.live else access_to(settings, "rehearsal", NO_SERVICE)
    except SettingsError:
        return Serving(regions=regions)
    return Serving(partial(platform_for, access=access), regions)


def focus_of(settings: Settings) -> str:
    """Return where cuts look whose shots do not say.

    SettingsError when the setting names no such place.
    """
    try:
        return parse_focus(settings.focus).text
    except UsageError as error:
        raise SettingsError(f"CALLSHEET_FOCUS: {error}") from None


def _check_scope(request: RunRequest, manifest: Manifest) -> None:
    known = [shot.id for shot in manifest.shots]
    left_out = {each.shot: each for each in manifest.left_out}
    if request.only and left_out.keys() >= set(request.only):
        raise ManifestError(list_problems(left_out[shot] for shot in request.only))
    if strange := [shot for shot in request.only if shot not in known and shot not in left_out]:
        named = ", ".join(repr(shot) for shot in strange[:10])
        raise SettingsError(
            f"{request.manifest} has no shot {named}. Nothing was made. It has: {', '.join(known[:20])}"
            + (f" and {len(known) - 20} more." if len(known) > 20 else ".")
        )
    if request.free and request.remake:
        raise SettingsError("What is made again is paid for again, and this run was asked to spend nothing.")


def check_credentials(plan: Plan, *, free: bool = False) -> None:
    """Raise SettingsError when there are no credentials at all, and they are needed.

    With some of them, what these lead to is made, and the rest is parked. A `free` run only fetches.
    """
    if plan.has_credentials:
        return
    needed = any(
        action.needs_route and (not free or action.since is not None) for item in plan.shots for action in item.actions
    )
    if needed:
        reasons = "".join(f"\n  {why}" for why in plan.cut_off())
        raise SettingsError(f"A live run needs credentials. Nothing was sent.\n  {HOW_TO_GET_ONE}{reasons}")


def describe_cut_off(plan: Plan) -> list[str]:
    """Return in words which shots cannot be finished with the credentials there are."""
    if not plan.has_credentials and plan.unreachable:
        told = f"There are no credentials at all: a live run would end here, with exit code 2. {HOW_TO_GET_ONE}"
        return [" ".join([told, *plan.cut_off()])]
    return [f"Cannot be finished, and will be parked: {_name(shots)}. {why}" for why, shots in plan.cut_off().items()]


def count_cut_off(plan: Plan) -> str:
    """Return which shots cannot be finished, in a few words; "" when all can."""
    shots = list(dict.fromkeys(shot for found in plan.cut_off().values() for shot in found))
    return f"{len(shots)} of {len(plan.shots)} shots cannot be finished: {_name(shots)}" if shots else ""


def _name(shots: list[str]) -> str:
    return ", ".join(shots[:_NAMED]) + (f" and {len(shots) - _NAMED} more" if len(shots) > _NAMED else "")
