"""What was spent: the ledger's record of it, for the report of a day."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from callsheet.clock import Clock
from callsheet.ledger import Ledger
from callsheet.ledger.quota import PACIFIC
from callsheet.report.spend import SpendReport, spend_report
from callsheet.settings import Settings
from callsheet.shots import Mode


async def spend_until(settings: Settings, mode: Mode, *, day: date | None, now: datetime) -> SpendReport:
    """The report on `day`; without one on the Pacific day before `now`.

    Rehearsal time runs ahead of the calendar: of rehearsals, the default is the last day that has any.
    """
    async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
        rows = await ledger.spend(mode=mode)
    yesterday = now.astimezone(PACIFIC).date() - timedelta(days=1)
    last = max((row.day for row in rows), default=yesterday)
    return spend_report(rows, day or (yesterday if mode == "live" else last))
