"""What the platforms take: specs as data with their sources, and the reader of them."""

from callsheet.platforms.reader import Platforms, load_platforms
from callsheet.platforms.spec import Fact, PlatformSpec, Zone

__all__ = ["Fact", "PlatformSpec", "Platforms", "Zone", "load_platforms"]
