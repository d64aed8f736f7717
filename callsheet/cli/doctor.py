"""`callsheet doctor`: what stands between this machine and a run.

When asked, it makes one picture and one clip.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callsheet.cli.options import JsonOption
from callsheet.cli.output import leave_at_once, out, print_json, say
from callsheet.doctor.diagnosis import BOTH, LEDGER, Diagnosis, Examination, Health, examine, exit_code_of, is_ready
from callsheet.errors import SettingsError
from callsheet.settings import Settings, load_settings

if TYPE_CHECKING:  # the help and wrong usage are told at once
    from callsheet.doctor.machine import ServerTime

# With the start of the command it takes less than 5 s, whatever hangs.
WITHIN_S = 3.5
_SIGNS = {Health.OK: "ok  ", Health.NOTE: "note", Health.MEND: "MEND"}


def doctor(
    spend: Annotated[
        bool, typer.Option("--spend", help="Then make one picture and the shortest clip, live; the price is asked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --spend: do not ask, the cost is fine.")] = False,
    within: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that the checks may take.")] = WITHIN_S,
    json: JsonOption = False,
) -> None:
    """Look at keys, routes, clock, disk, archive, ledger and the rest. Pays nothing.

    One line each, with what to do. Ends with 0 when all is well, 2 when something has to be corrected. A route is asked
    for something that is not billed. With --spend the smoke test follows: a tiny batch, which a second time reuses.
    """
    started = time.monotonic()
    settings = load_settings()
    found, all_ended = look_at_all(settings, within)
    if not all_ended:
        leave_at_once()
    for one in found:
        _show(one)
    told: dict[str, Any] = {
        "exit_code": exit_code_of(found),
        "ready": {mode: is_ready(found, mode) for mode in BOTH},
        "checks": [one.as_json() for one in found],
    }
    if spend:
        told |= _spend(settings, found, yes=yes)
    if json:
        print_json({**told, "elapsed_s": round(time.monotonic() - started, 2)})
    sys.exit(told["exit_code"])


def look_at_all(settings: Settings, within_s: float) -> tuple[list[Diagnosis], bool]:
    """Return what was found, without any secret in it, and whether all checks ended."""

    from callsheet.doctor.credentials import hide_secrets
    from callsheet.doctor.machine import judge_clock

    times: list[ServerTime] = []
    # A little less than the deadline, so that each can say itself what it waited for.
    each_s = 0.9 * within_s
    before, routes = _examine_access(settings, each_s, times)
    found, all_ended = examine([*routes, *_examinations(settings, each_s)], within_s)
    of_routes = [one for one in found if one.name.startswith("route")]
    others = [one for one in found if not one.name.startswith("route")]
    ordered = [*before, *of_routes, judge_clock(times), *others]
    return [hide_secrets(settings, one) for one in ordered], all_ended


def _examine_access(
    settings: Settings, within_s: float, times: list[ServerTime]
) -> tuple[list[Diagnosis], list[Examination]]:
    """Return what credentials and location say by themselves, and what is to be asked."""

    from callsheet.doctor.credentials import KEYS, examine_keys, examine_location
    from callsheet.doctor.routes import RouteCheck, examine_route, ways_of
    from callsheet.models import load_catalogue
    from callsheet.providers.access import access_to

    try:
        access = access_to(settings, "live")
    except SettingsError as error:
        return [Diagnosis(KEYS, Health.MEND, str(error), "Correct that variable.")], []
    ways = ways_of(access)
    check = RouteCheck(settings, access, load_catalogue(settings.catalogue), within_s)
    late = "Check network, proxy and name servers."
    routes = [
        Examination(f"route {way.value}", partial(examine_route, check, way, times), if_late=late) for way in ways
    ]
    return [*examine_keys(settings, access), *examine_location(access, ways, check.catalogue)], routes


def _examinations(settings: Settings, within_s: float) -> Sequence[Examination]:
    from callsheet.doctor.machine import DISK, FFMPEG, FONTS, examine_disk, examine_ffmpeg, examine_fonts
    from callsheet.doctor.storage import ARCHIVE, examine_archive
    from callsheet.orchestration.server_files import PREFECT, examine_prefect

    disk = "The disk does not answer: is it a network drive that is gone?"
    return (
        Examination(DISK, partial(examine_disk, settings), BOTH, disk),
        Examination(
            ARCHIVE, partial(examine_archive, settings, within_s), BOTH, "Check network and CALLSHEET_ARCHIVE."
        ),
        Examination(
            LEDGER, partial(_examine_ledger, settings), BOTH, "Another program holds it, or it is out of reach."
        ),
        Examination(PREFECT, partial(examine_prefect, settings, within_s), BOTH, "Check PREFECT_API_URL."),
        Examination(FFMPEG, partial(examine_ffmpeg, within_s), BOTH, "The machine is very busy, or ffmpeg hangs."),
        Examination(FONTS, partial(examine_fonts, settings), BOTH, disk),
    )


async def _examine_ledger(settings: Settings) -> Sequence[Diagnosis]:
    # Loaded here, beside the other checks: the database library takes its time.
    from callsheet.doctor.storage import examine_ledger

    return await examine_ledger(settings)


def _show(one: Diagnosis) -> None:
    advice = f" -> {one.advice}" if one.advice else ""
    out.print(f"{_SIGNS[one.health]}  {one.name}: {one.text}{advice}", markup=False)


def _spend(settings: Settings, found: Sequence[Diagnosis], *, yes: bool) -> dict[str, Any]:
    """Run the smoke test as a batch like any other, when its cost is agreed to.

    SettingsError, and nothing is sent, while something stops live runs.
    """

    from callsheet.doctor.smoke import choose_smoke, write_smoke
    from callsheet.models import load_catalogue
    from callsheet.providers.access import access_to

    if not is_ready(found, "live"):
        stops = ", ".join(dict.fromkeys(one.name for one in found if one.health is Health.MEND and "live" in one.stops))
        raise SettingsError(f"The smoke test was not begun, and nothing was sent: first correct {stops}.")
    # Loaded here: it brings planning and all of a run, which a look does without.
    from callsheet.batch.prepare import prepare_run
    from callsheet.batch.request import RunRequest, as_new
    from callsheet.cli.run import carry_out

    catalogue = as_new(load_catalogue(settings.catalogue), settings)
    smoke = choose_smoke(catalogue, access_to(settings, "live"), datetime.now(UTC).date())
    clip = smoke.video.id if smoke.video else "no clip: no credentials lead to a model for clips"
    say(f"The smoke test: one picture ({smoke.image.id}), one clip ({clip}).")
    request = RunRequest(str(write_smoke(smoke, settings)), live=True)
    summary = carry_out(asyncio.run(prepare_run(request, settings)), yes=yes)
    return {"exit_code": summary["exit_code"], "spend": summary}
