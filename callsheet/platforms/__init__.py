"""The platforms that cuts are made for: specs as data with their sources."""

from callsheet.platforms.reader import Platforms, load_platforms
from callsheet.platforms.spec import Fact, PlatformSpec, Zone

__all__ = ["Fact", "PlatformSpec", "Platforms", "Zone", "load_platforms"]
