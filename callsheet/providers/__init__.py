"""The models behind one small protocol per modality: google-genai for pictures, both Veo routes for video."""

from callsheet.providers.registry import Providers, load_sdk, open_providers
from callsheet.providers.routing import live_ready

__all__ = ["Providers", "live_ready", "load_sdk", "open_providers"]
