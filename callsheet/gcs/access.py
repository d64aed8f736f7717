"""How buckets are reached, as values: what the settings say, nothing opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callsheet.settings import Settings


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """The way to the buckets: an emulator without credentials, or Google with them.

    `credentials_file` comes before what Google's libraries find by themselves; `impersonate` is the service account
    whose rights are used instead of one's own. `payer` is the project that pays for buckets which ask for one.
    """

    emulator_host: str | None = None
    credentials_file: Path | None = None
    impersonate: str | None = None
    payer: str | None = None

    @property
    def endpoint(self) -> str | None:
        """The emulator's base URL; None for Google."""
        host = self.emulator_host
        return (host if "://" in host else f"http://{host}").rstrip("/") if host else None


def access_of(settings: Settings) -> GoogleAccess:
    """Return the access to buckets that the settings describe."""
    return GoogleAccess(
        settings.storage_emulator_host,
        settings.google_application_credentials,
        settings.impersonate_service_account,
        settings.storage_project or settings.google_cloud_project,
    )
