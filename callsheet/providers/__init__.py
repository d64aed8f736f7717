"""The providers: one small protocol for each kind of request, and what speaks it.

google-genai for pictures and looks, both Veo routes for videos.
"""

from callsheet.providers.registry import Providers, load_sdk, open_providers

__all__ = ["Providers", "load_sdk", "open_providers"]
