"""The model catalogue: what each model makes, costs and allows, and when it ends."""

from __future__ import annotations

from callsheet.models.catalogue import Catalogue, load_catalogue
from callsheet.models.model import DRIVEN_SURFACES, Defaults, Latency, Model, ModelLimits
from callsheet.models.rules import Refusal

__all__ = ["DRIVEN_SURFACES", "Catalogue", "Defaults", "Latency", "Model", "ModelLimits", "Refusal", "load_catalogue"]
