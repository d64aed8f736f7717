"""What the platforms take: specs as data with their sources, and the reader of them."""

from callsheet.platforms.spec import PlatformSpec, Zone

__all__ = ["PlatformSpec", "Zone"]
