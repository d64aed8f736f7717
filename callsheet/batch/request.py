"""What a run is asked to do, for which edition, and what its batch was begun with.

The request is of small values that a scheduler can store and show. A placeholder in the name of an edition (`{date}`,
say) is filled in from the time for which a run was scheduled.

A batch is begun with default models, the route of clips, and what models gave to shots that did not say. That is on
record in the ledger, and in the batch's `plan.json` for whoever has another ledger, because it is part of keys: with a
newer catalogue, or other credentials, the same sheet would ask for other things, and all of it would be paid for anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from string import Formatter
from typing import Any, get_args

from pydantic import TypeAdapter

from callsheet.archive import layout
from callsheet.archive.store import Store
from callsheet.errors import ArchiveError, BegunElsewhere, SettingsError
from callsheet.manifest.left_out import OnBadRow
from callsheet.models import Catalogue, Defaults
from callsheet.models.schema import Platform
from callsheet.plan.grouping import Shard
from callsheet.providers.access import Way, access_to
from callsheet.providers.routing import choose_route
from callsheet.settings import Settings
from callsheet.shots import Batch, Shot

# Under these names a batch's request in the ledger, and its plan in the archive, tell it.
MODELS = "models"
MODEL_DEFAULTS = "model_defaults"
VIDEO_ROUTE = "video_route"
_LARGEST_PLAN = 256 << 20
_MOST_RATIOS = 100

Begun = Mapping[str, Any]
# What only the run that begins a batch decides.
_DECIDED_ONCE = (MODELS, VIDEO_ROUTE)
# Each names a span of time: two runs within it go on with one batch. As in ISO 8601, without colons. When clocks are
# put back an hour comes twice, and is two spans.
PLACEHOLDERS: dict[str, Callable[[datetime], str]] = {
    "date": lambda at: f"{at:%Y-%m-%d}",
    "week": lambda at: f"{at:%G-W%V}",
    "month": lambda at: f"{at:%Y-%m}",
    "hour": lambda at: f"{at:%Y-%m-%dT%H}{_repeated_hour_offset(at)}",
    "minute": lambda at: f"{at:%Y-%m-%dT%H%M}{_repeated_hour_offset(at)}",
}
# A part of folder names, of the batch's name between dots, and of object names in buckets.
_ALLOWED = re.compile(r"[^\W_][\w+-]{0,79}")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do: small values that a scheduler can store and show.

    `wait` sleeps through a full day's quota instead of ending parked. `only` limits the work to these shots, and
    `free` to what costs nothing. `plan` names a plan file that the run has to follow exactly. With a `shard` the run
    does its shots for another one, which has opened the batch and ends it. `on_bad_row` says whether a row that is
    wrong stops the batch, or is left out.
    """

    manifest: str
    live: bool = False
    edition: str | None = None
    campaign: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    budget_usd: Decimal | None = None
    remake: bool = False
    wait: bool = False
    only: tuple[str, ...] = ()
    free: bool = False
    plan: str | None = None
    shard: Shard | None = None
    on_bad_row: OnBadRow = "stop"

    @property
    def skips_bad_rows(self) -> bool:
        """Return whether rows that are wrong are left out."""
        return self.on_bad_row == "skip"

    def wants(self, shot: str) -> bool:
        """Return whether the run is to work on the shot."""
        return not self.only or shot in self.only

    def to_record(self) -> dict[str, Any]:
        """Return what the ledger keeps of the request: JSON, no secrets.

        The batch can be carried on later as it was asked for.
        """
        return {
            "campaign": self.campaign,
            "variables": dict(self.variables),
            "budget_usd": None if self.budget_usd is None else str(self.budget_usd),
            "wait": self.wait,
            **({"on_bad_row": self.on_bad_row} if self.skips_bad_rows else {}),
        }


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a run's request."""
    return TypeAdapter(RunRequest).json_schema()


def record_defaults(catalogue: Catalogue, shots: Iterable[Shot]) -> dict[str, Any]:
    """Return what goes on record of a batch of these shots: JSON."""
    used = {name for shot in shots for name in (shot.image_model, shot.video_model) if name}
    models = (model for name in sorted(used | catalogue.kept) if (model := catalogue.find(name)))
    return {
        MODELS: catalogue.defaults,
        MODEL_DEFAULTS: {model.id: asdict(model.kept_defaults) for model in models},
        VIDEO_ROUTE: catalogue.get(catalogue.default_video).begun_on,
    }


def pick_decisions(begun: Begun | None) -> dict[str, Any]:
    """Return what only the run that begins a batch decides; None where not told."""
    return {name: (begun or {}).get(name) for name in _DECIDED_ONCE}


def check_archived(archived: Begun | None, read: Begun | None, own: Begun) -> None:
    """Raise BegunElsewhere when another ledger's run has decided otherwise since."""
    told = pick_decisions(archived)
    for name, before in pick_decisions(read).items():
        if told[name] is not None and told[name] not in (before, own[name]):
            raise BegunElsewhere(
                "Another ledger's run has begun and ended this batch meanwhile, with other default models or on "
                "another route. Nothing was sent. Run the same command again: it goes on with those."
            )


def as_new(catalogue: Catalogue, settings: Settings) -> Catalogue:
    """Return the catalogue with the default video model and route of a new batch.

    They are those of a live run with these credentials, also for a rehearsal: Omni for who has a Gemini API key and
    nothing else, else Veo. Without any credentials the route is left open.
    """
    try:
        access = access_to(settings, "live")
    except SettingsError:
        return catalogue
    keyed = catalogue.find(catalogue.default_video_with_key or "")
    only_key = access.has_key(Way.GEMINI) and not (access.has_key(Way.EXPRESS) or access.project)
    if only_key and keyed is not None and keyed.driven and keyed.status != "retired":
        catalogue = catalogue.with_defaults({"video": keyed.id})
    try:
        route = choose_route(catalogue.get(catalogue.default_video), access)
    except SettingsError:
        return catalogue
    return catalogue.keep_platform(route.way.platform)


def as_begun(catalogue: Catalogue, begun: Begun | None) -> Catalogue:
    """Return the catalogue with the defaults on record, where it knows the models."""
    told = begun or {}
    kept = told.get(MODEL_DEFAULTS)
    every = kept.items() if isinstance(kept, Mapping) else ()
    details = {str(name): _defaults(one) for name, one in every if isinstance(one, Mapping)}
    models, route = told.get(MODELS), told.get(VIDEO_ROUTE)
    kept_models = catalogue.with_defaults(models if isinstance(models, Mapping) else None).with_details(details)
    return kept_models.keep_platform(_platform(route))


async def read_recorded_defaults(store: Store, batch: Batch) -> Begun | None:
    """Return what the batch's plan in the archive tells.

    None without a plan, {} when it tells nothing.
    """
    name = layout.document(batch.prefix, layout.PLAN)
    try:
        if await store.stat(name) is None:
            return None
        plan = json.loads(await store.read_bytes(name, _LARGEST_PLAN))
        return {key: plan[key] for key in (MODELS, MODEL_DEFAULTS, VIDEO_ROUTE) if key in plan}
    except (ArchiveError, ValueError, TypeError):
        return {}


def _defaults(given: Mapping[str, Any]) -> Defaults:
    texts = {name: _text(given.get(name)) for name in ("aspect_ratio", "size", "resolution")}
    seconds, ratios = given.get("duration_s"), given.get("ratios")
    return Defaults(
        **texts,
        duration_s=seconds if isinstance(seconds, int) and 0 < seconds < 10_000 else None,
        ratios=tuple(map(str, ratios[:_MOST_RATIOS])) if isinstance(ratios, Sequence) else (),
    )


def _platform(value: object) -> Platform | None:
    return next((platform for platform in get_args(Platform) if platform == value), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 20 else None


def _repeated_hour_offset(at: datetime) -> str:
    """Return the UTC offset where a clock that was put back repeats a time, else ""."""
    return f"{at:%z}" if at.fold else ""


def has_placeholder(edition: str | None) -> bool:
    """Return whether an edition has a placeholder that is still to be filled in."""
    return edition is not None and "{" in edition


def edition_at(edition: str, at: datetime) -> str:
    """Fill in an edition's placeholders for the time `at`, in its own time zone.

    Depends on nothing else, so a run that starts late or once more gets the edition it was scheduled for. Raises
    SettingsError for a placeholder that does not exist.
    """
    try:
        parts = list(Formatter().parse(edition))
    except ValueError as error:
        raise _refuse_edition(edition) from error
    if any(name is not None and (name not in PLACEHOLDERS or form or convert) for _, name, form, convert in parts):
        raise _refuse_edition(edition)
    return "".join(text + (PLACEHOLDERS[name](at) if name is not None else "") for text, name, _, _ in parts)


def check_edition(edition: str | None) -> None:
    """Raise SettingsError for an edition that cannot be part of a batch's name."""
    if edition is not None and not _ALLOWED.fullmatch(edition):
        raise SettingsError(
            f"{edition!r} cannot be an edition. Nothing was made. It is a word of letters, digits, - + and _, at most "
            "80 of them, such as 2026-11-21; with {date} in it, the date is filled in."
        )


def _refuse_edition(edition: str) -> SettingsError:
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return SettingsError(f"Edition {edition!r} cannot be filled in. Nothing was made. It may hold {known}.")
