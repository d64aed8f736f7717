"""The settings that the rehearsal service starts with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from callsheet import models
from callsheet.errors import SettingsError
from callsheet.models import Model

DAY_S = 86_400.0


class Quota(BaseModel):
    """Requests of one model per minute (sliding) and per day; None is unlimited.

    The day ends at midnight Pacific.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rpm: Annotated[int | None, Field(ge=0)] = None
    rpd: Annotated[int | None, Field(ge=0)] = None


class LatencyConfig(BaseModel):
    """How long requests take, in seconds of the service's clock.

    A quarter more or less; None: as the catalogue says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Annotated[float | None, Field(ge=0)] = None
    video: Annotated[float | None, Field(ge=0)] = None

    def of(self, model: Model) -> models.Latency:
        """Return how long requests to this model take."""
        seconds = self.image if model.kind == "image" else self.video
        return model.latency_s if seconds is None else models.Latency.around(seconds)


class RehearsalConfig(BaseModel):
    """Settings of one rehearsal service.

    Times are in seconds of its clock, which runs `factor` times faster. `quotas` are by model id, "*" for every model
    without its own. `gcs_endpoint` is the base URL of a storage emulator: without it a request with a storageUri ends
    in an error, and nothing is ever written to a real bucket.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dir: Path
    factor: Annotated[float, Field(gt=0, le=100_000)] = 60.0
    latency: LatencyConfig = LatencyConfig()
    quotas: dict[str, Quota] = Field(default_factory=dict)
    retention_s: Annotated[float, Field(gt=0)] = 2 * DAY_S
    script: Path | None = None
    catalogue: Path | None = None
    prerender: bool = False
    strict_retirement: bool = False
    gcs_endpoint: str | None = None

    def fingerprint(self) -> str:
        """Return a value that is equal for equal settings, wherever their state is."""
        return hashlib.sha256(self.model_dump_json(exclude={"state_dir"}).encode()).hexdigest()[:16]

    def quota(self, model: str) -> Quota:
        """Return the quota of a model; unlimited where none is set."""
        return self.quotas.get(model) or self.quotas.get("*") or Quota()


def load_config(path: Path | None = None, **overrides: object) -> RehearsalConfig:
    """Load the settings of a YAML file, with `overrides` (those not None) on top.

    Raises SettingsError that names each bad one.
    """
    values: dict[str, object] = {}
    if path is not None:
        values.update(_read(path))
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return RehearsalConfig.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)]
        raise SettingsError("Settings of the rehearsal service are not valid:\n  " + "\n  ".join(lines)) from None


def _read(path: Path) -> dict[str, object]:
    try:
        loaded = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SettingsError(f"Cannot read the rehearsal settings {path}: {error}") from error
    if not isinstance(loaded, dict):
        raise SettingsError(f"The rehearsal settings {path} must be a mapping of names to values.")
    return {str(name): value for name, value in loaded.items()}
