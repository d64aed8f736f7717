"""The one settings class; nothing else in callsheet reads the environment."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from callsheet.errors import SettingsError
from callsheet.settings_files import DOTENV, TOML, SettingNames, find_mistakes, find_origin, read_settings_files

MIB = 1024 * 1024
OUTPUT_OFF = "off"
# The algorithms of the C2PA technical specification 2.4, "Digital signatures".
C2paAlg = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]


_CREDENTIALS = (
    "gemini_api_key", "key_in_gemini", "agent_platform_api_key", "google_cloud_project",
    "google_application_credentials",
)  # fmt: skip


class Settings(BaseSettings):
    """The settings of the environment, with defaults.

    Secrets are SecretStr and never leave the provider clients.
    """

    model_config = SettingsConfigDict(env_prefix="CALLSHEET_", populate_by_name=True, extra="ignore", frozen=True)

    home: Annotated[Path, Field(description="Folder for ledger, spool, logs and local services.")] = Path(".callsheet")
    ledger: Annotated[str | None, Field(description="SQLAlchemy URL of the ledger; default: SQLite in the home.")] = (
        None
    )
    archive: Annotated[
        str | None, Field(description="A folder or gs://bucket/prefix; default: `archive` in the home.")
    ] = None
    manifest: Annotated[str | None, Field(description="Sheet of commands that name none.")] = None
    budget_usd: Annotated[Decimal | None, Field(ge=0, description="The most a campaign may cost.")] = None
    catalogue: Annotated[Path | None, Field(description="YAML file that adds or overrides models and limits.")] = None
    platforms: Annotated[
        Path | None, Field(description="YAML file that adds platforms for cuts or changes their numbers.")
    ] = None
    quota_project: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Whose quota the Gemini API key uses, for counting; default: GOOGLE_CLOUD_PROJECT, else one "
            "for each route.",
        ),
    ] = None
    spend_10min_usd: Annotated[
        Decimal | None,
        Field(ge=0, description="Most to spend on the Gemini API in any 10 minutes; default: by tier; 0: no limit."),
    ] = None
    spend_month_usd: Annotated[
        Decimal | None,
        Field(ge=0, description="Most to spend on the Gemini API in a month; default: by tier; 0: no limit."),
    ] = None
    tier: Annotated[
        int, Field(ge=0, le=3, description="Usage tier of the project: selects limits of the catalogue.")
    ] = 1
    region: Annotated[
        str | None,
        Field(
            max_length=10,
            description="Where requests come from: a country (DE, GB), or EEA, UK, CH, MENA; each model's rules for it "
            "hold in check and plan.",
        ),
    ] = None
    restricted_region: Annotated[
        bool, Field(description="Requests come from the EEA, the UK, Switzerland or MENA: stricter rules about people.")
    ] = False
    input_roots: Annotated[
        tuple[str, ...],
        Field(description="Further folders or gs:// prefixes that reference images may come from (JSON list)."),
    ] = ()
    video_output: Annotated[
        str | None,
        Field(
            pattern=r"^(off|gs://[a-z0-9][\w.-]+(/.*)?)$",
            description="Where Agent Platform writes videos before they are moved into a gs:// archive: "
            "gs://bucket/prefix, or off; default: incoming/ in the archive.",
        ),
    ] = None
    image_concurrency: Annotated[int, Field(ge=1, le=256, description="Picture requests in flight at once.")] = 16
    video_concurrency: Annotated[int, Field(ge=1, le=256, description="Video operations waited on at once.")] = 64
    encoders: Annotated[int, Field(ge=1, le=64, description="ffmpeg processes at once, one thread each.")] = 2
    encoder_memory_mb: Annotated[
        int | None,
        Field(
            ge=64,
            description="Memory that encoders may take together, MB; default: half the machine's or container's.",
        ),
    ] = None
    image_timeout_s: Annotated[float, Field(gt=0, description="Longest wait for one picture, seconds.")] = 180.0
    video_deadline_s: Annotated[
        float | None,
        Field(gt=0, description="Longest wait for one video, seconds; default: four times the model's longest time."),
    ] = None
    shard_shots: Annotated[
        int,
        Field(ge=0, description="A deployed batch with more shots to make is split into runs of so many; 0: never."),
    ] = 500
    min_free_mb: Annotated[int, Field(ge=0, description="Nothing is sent while the home's disk has less, MB.")] = 256
    alert_url: Annotated[
        SecretStr | None,
        Field(description="Webhook of a chat that is told of batches which need a person; set when deploying."),
    ] = None
    webhook_hosts: Annotated[
        tuple[str, ...],
        Field(description="Hosts, or host:port, that webhooks of runs may be sent to (JSON list)."),
    ] = ()
    webhook_secret: Annotated[
        SecretStr | None,
        Field(description="Signs these webhooks: whsec_ and base64, or a text of 24 bytes and more."),
    ] = None
    c2pa_cert: Annotated[
        Path | None, Field(description="PEM file of the certificates that cuts are signed with, the signer's first.")
    ] = None
    c2pa_key: Annotated[
        Path | None, Field(description="PEM file of the signer's private key, without a passphrase.")
    ] = None
    c2pa_alg: Annotated[C2paAlg, Field(description="Signature algorithm; it must fit the key.")] = "es256"
    c2pa_tsa_url: Annotated[
        str | None,
        Field(pattern=r"^https?://", description="Time-stamp server for signatures; default: none is asked."),
    ] = None
    log_format: Annotated[
        Literal["text", "json"], Field(description="How runs and workers write their logs to stderr.")
    ] = "text"
    focus: Annotated[
        str, Field(description="Where cuts look whose shots do not say: auto, ask, centre, left ... or numbers.")
    ] = "auto"
    font: Annotated[
        Path | None,
        Field(
            description="TTF, OTF or TTC file for captions and labels, asked before the shipped fonts; Chinese, "
            "Japanese and Korean need one."
        ),
    ] = None
    rehearsal_factor: Annotated[float, Field(gt=0, description="How much faster rehearsal time passes.")] = 60.0
    rehearsal_script: Annotated[Path | None, Field(description="Failure script for the rehearsal service.")] = None

    gemini_api_key: Annotated[
        SecretStr | None,
        # The SDK prefers GOOGLE_API_KEY when both are set (google-genai 3.4.0, measured 2026-11-21); so do we.
        Field(
            validation_alias=AliasChoices("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            description="Gemini API key; the first one counts when both are set.",
        ),
    ] = None
    # By its own variable, to tell which of the two was taken.
    key_in_gemini: Annotated[SecretStr | None, Field(validation_alias="GEMINI_API_KEY", repr=False)] = None
    agent_platform_api_key: Annotated[SecretStr | None, Field(description="Agent Platform express key.")] = None
    google_cloud_project: Annotated[
        str | None,
        Field(validation_alias="GOOGLE_CLOUD_PROJECT", description="Project for Veo on Agent Platform."),
    ] = None
    google_cloud_location: Annotated[
        str,
        Field(
            validation_alias="GOOGLE_CLOUD_LOCATION",
            description="Location of Agent Platform, for models that are served there.",
        ),
    ] = "us-central1"
    google_application_credentials: Annotated[
        Path | None,
        Field(
            validation_alias="GOOGLE_APPLICATION_CREDENTIALS",
            description="Credentials file of any kind for gs:// and Agent Platform; default: Application Default "
            "Credentials.",
        ),
    ] = None
    impersonate_service_account: Annotated[
        str | None,
        Field(
            pattern=r"^[^@\s]+@[^@\s]+$",
            description="Use gs:// with the rights of this service account; yours needs "
            "roles/iam.serviceAccountTokenCreator on it; default: your own rights.",
        ),
    ] = None
    storage_project: Annotated[
        str | None,
        Field(description="Project that pays for gs:// buckets whose requesters pay; default: GOOGLE_CLOUD_PROJECT."),
    ] = None
    gemini_base_url: Annotated[
        str | None,
        Field(validation_alias="GOOGLE_GEMINI_BASE_URL", description="Another server in place of the Gemini API."),
    ] = None
    vertex_base_url: Annotated[
        str | None,
        Field(validation_alias="GOOGLE_VERTEX_BASE_URL", description="Another server in place of Agent Platform."),
    ] = None
    storage_emulator_host: Annotated[
        str | None,
        Field(validation_alias="STORAGE_EMULATOR_HOST", description="A storage emulator in place of Cloud Storage."),
    ] = None
    sheets_base_url: Annotated[
        str | None,
        Field(description="A stand-in on this machine in place of https://docs.google.com, to try Google Sheets out."),
    ] = None
    prefect_api_url: Annotated[
        str | None,
        Field(validation_alias="PREFECT_API_URL", description="An existing Prefect server; default: a local one."),
    ] = None

    @field_validator(*_CREDENTIALS, mode="before")
    @classmethod
    def _strip(cls, given: object) -> object:
        """Take off the spaces that come along with a copy; spaces alone are nothing."""
        value = given.get_secret_value() if isinstance(given, SecretStr) else given
        return given if not isinstance(value, str) else value.strip() or None

    @field_validator("google_cloud_location", mode="before")
    @classmethod
    def _place(cls, given: object) -> object:
        return "us-central1" if isinstance(given, str) and not given.strip() else given

    @model_validator(mode="after")
    def _pass_over_empty_key(self) -> Self:
        """Pass over an empty GOOGLE_API_KEY: the SDK takes the other one then."""
        if self.gemini_api_key is None:
            object.__setattr__(self, "gemini_api_key", self.key_in_gemini)
        return self

    @property
    def gemini_key_variable(self) -> str:
        """The variable that the Gemini API key came from."""
        return "GEMINI_API_KEY" if self.gemini_api_key == self.key_in_gemini else "GOOGLE_API_KEY"

    @property
    def has_two_keys(self) -> bool:
        """Return whether both variables hold a key, and not the same one."""
        return bool(self.key_in_gemini) and self.gemini_api_key != self.key_in_gemini

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger or f"sqlite:///{(self.home / 'ledger.db').absolute()}"

    @property
    def parts_cache(self) -> Path:
        """Folder for copies of a bucket's catalogue parts; it may be removed at any time."""
        return self.home / "cache" / "catalogue"

    @property
    def archive_uri(self) -> str:
        """fsspec URI of the archive, without a trailing slash.

        A local folder is an absolute path.
        """
        uri = self.archive or str(self.home / "archive")
        return uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())


def variables_of(name: str) -> tuple[str, ...]:
    """Return the environment variables of a setting; the first one counts."""
    alias = Settings.model_fields[name].validation_alias or f"CALLSHEET_{name.upper()}"
    return tuple(str(one) for one in alias.choices) if isinstance(alias, AliasChoices) else (str(alias),)


KNOWN = SettingNames(
    {name: variables_of(name) for name in Settings.model_fields},
    {name for name, one in Settings.model_fields.items() if SecretStr in (one.annotation, *get_args(one.annotation))},
)


def load_settings(**overrides: object) -> Settings:
    """Return the settings with `overrides` on top.

    The environment counts before `.env`, that before the profile of `callsheet.toml`, that before the rest of it.
    Raises SettingsError that names each bad one, and each name that is no setting.
    """
    files = read_settings_files(Path.cwd(), os.environ)
    if mistakes := find_mistakes(files, os.environ, KNOWN):
        lines = ["Settings that nobody reads, or not there. Nothing was done:", *mistakes]
        raise SettingsError("\n  ".join(lines))
    toml = {name: value for name, value in files.toml.items() if TOML in find_origin(name, files, os.environ, KNOWN)}
    given = toml | {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(_env_file=DOTENV, _env_file_encoding="utf-8-sig", **given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)]
        raise SettingsError("Settings are not valid:\n  " + "\n  ".join(lines)) from None


def find_origins() -> dict[str, str]:
    """Return by setting where its value comes from.

    A variable, a file, or "" for a default.
    """
    files = read_settings_files(Path.cwd(), os.environ)
    return {name: find_origin(name, files, os.environ, KNOWN) for name in KNOWN.variables}
