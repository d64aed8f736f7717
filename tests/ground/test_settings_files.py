"""Settings of files: what counts before what, names that nobody reads, and secrets in the wrong place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import SettingsError
from callsheet.settings import KNOWN, find_origins, load_settings
from callsheet.settings_files import OTHERS, find_mistakes, read_settings_files
from tests.support.cli import Cli

TOML = """
tier = 2
region = "DE"
profile = "dev"

[profiles.dev]
budget_usd = 1.10
input_roots = ["/pictures"]

[profiles.prod]
budget_usd = 200
tier = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variables in KNOWN.variables.values():
        for variable in variables:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "callsheet.toml").write_text(TOML)
    return tmp_path


def test_environment_counts_before_dotenv_and_that_before_the_profile_and_that_before_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("CALLSHEET_TIER=1\nCALLSHEET_ARCHIVE=gs://a/b\nOTHER=1\n")
    monkeypatch.setenv("callsheet_archive", "gs://c/d")
    found, origins = load_settings(), find_origins()
    assert (found.tier, found.region, found.budget_usd) == (1, "DE", Decimal("1.1"))
    assert (found.archive, found.input_roots) == ("gs://c/d", ("/pictures",))
    assert [origins[name] for name in ("archive", "tier", "budget_usd", "region", "ledger")] == [
        "CALLSHEET_ARCHIVE", ".env: CALLSHEET_TIER", "callsheet.toml [profiles.dev]", "callsheet.toml", "",
    ]  # fmt: skip
    assert load_settings(tier=0, archive="here").tier == 0


def test_the_profile_that_is_named_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_PROFILE", "prod")
    assert (load_settings().tier, load_settings().budget_usd) == (3, 200)
    monkeypatch.setenv("CALLSHEET_PROFILE", "pord")
    with pytest.raises(SettingsError, match=r"no profile 'pord'\. It has dev, prod"):
        load_settings()


def test_a_key_is_read_from_dotenv_as_it_is_written(folder: Path) -> None:
    (folder / ".env").write_bytes(b'\xef\xbb\xbfexport GEMINI_API_KEY="AIza$HOME#x" # ours\r\n')
    key = load_settings().gemini_api_key
    assert key is not None
    assert key.get_secret_value() == "AIza$HOME#x"
    assert load_settings().gemini_key_variable == "GEMINI_API_KEY"


@pytest.mark.parametrize(
    ("toml", "dotenv", "told"),
    [
        ("buget_usd = 1", "", "buget_usd in callsheet.toml is no setting: did you mean budget_usd?"),
        ("[profiles.a]\ntire = 1\n", "CALLSHEET_PROFILE=a", r"tire in callsheet.toml \[profiles.a\] is no setting"),
        ("", "CALLSHEET_BUGET_USD=1", "in .env is no setting: did you mean CALLSHEET_BUDGET_USD?"),
        ("", "CALLSHEET_GEMINI_API_KEY=1", "did you mean GEMINI_API_KEY?"),
        ('gemini_api_key = "x"', "", "is a secret: it belongs into the environment or .env"),
        ('webhook_secret = "x"', "", "is a secret"),
        ("budget_usd = -1", "", "budget_usd: Input should be greater than or equal to 0"),
        ("x =", "", "callsheet.toml is no TOML: "),
        ("profiles = 1", "", "`profiles` has to be tables"),
        ("x = 1\n" * 60_000, "", "more than 256 KiB"),
    ],
)
def test_a_file_that_says_something_nobody_reads_is_refused_in_words(
    folder: Path, toml: str, dotenv: str, told: str
) -> None:
    (folder / "callsheet.toml").write_text(toml)
    (folder / ".env").write_text(dotenv)
    with pytest.raises(SettingsError, match=told):
        load_settings()


@pytest.mark.parametrize("name", ["callsheet.toml", ".env"])
def test_a_file_that_cannot_be_read_is_refused_in_words(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    with pytest.raises(SettingsError, match=f"{name} cannot be read"):
        load_settings()


@given(st.text(st.characters(codec="ascii", categories=["Lu", "Nd"]), min_size=1).map("CALLSHEET_{}".format))
def test_every_variable_with_our_prefix_is_a_setting_or_told(name: str) -> None:
    variables = {variable for some in KNOWN.variables.values() for variable in some} | {*OTHERS}
    mistakes = find_mistakes(read_settings_files(Path("nowhere"), {}), {name: "1"}, KNOWN)
    assert bool(mistakes) == (name not in variables)


def test_a_misspelt_budget_plans_nothing(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text("prompt\nA kite\n")
    ended = lean_cli("plan", "sheet.csv", "--live", CALLSHEET_BUGET_USD="1")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "did you mean CALLSHEET_BUDGET_USD?" in ended.stderr


def test_config_shows_values_and_where_they_come_from_and_no_secret(lean_cli: Cli) -> None:
    (lean_cli.folder / "callsheet.toml").write_text("tier = 2\n")
    (lean_cli.folder / ".env").write_text("GEMINI_API_KEY=secret-1\n")
    ended = lean_cli(
        "config",
        "--json",
        CALLSHEET_LEDGER="postgresql+psycopg://me:secret-2@db/x",
        CALLSHEET_ALERT_URL="http://secret-3",
    )
    shown = {one["setting"]: (one["value"], one["from"]) for one in ended.json["settings"]}
    assert shown["tier"] == (2, "callsheet.toml")
    assert shown["ledger"] == ("postgresql+psycopg://me:***@db/x", "CALLSHEET_LEDGER")
    assert shown["gemini_api_key"] == ("**********", ".env: GEMINI_API_KEY")
    assert "secret-" not in ended.stdout + ended.stderr + lean_cli("config").stdout


def test_a_server_that_a_file_names_is_paid_at_by_no_yes(lean_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_GEMINI_BASE_URL", raising=False)
    lean_cli.env.pop("GOOGLE_GEMINI_BASE_URL", None)
    (lean_cli.folder / "sheet.csv").write_text("prompt\nA kite\n")
    (lean_cli.folder / "callsheet.toml").write_text('gemini_base_url = "http://127.0.0.1:9"\n')
    ended = lean_cli("run", "sheet.csv", "--live", "--yes", GEMINI_API_KEY="k")
    assert ended.exit_code == 2
    assert "pay at http://127.0.0.1:9 (from callsheet.toml)" in ended.stderr
