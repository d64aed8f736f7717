from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from callsheet.archive.sidecar import FailureRecord, Sidecar, TakeRecord
from callsheet.batch.account import model_use
from callsheet.context.progress import Progress
from callsheet.ledger.model_usage import Use
from callsheet.ledger.quota import Learned, QuotaLimits
from callsheet.ledger.spend_window import Position
from callsheet.plan import Action, Plan, ShotPlan
from callsheet.plan.inputs import Money
from callsheet.report.account import Account, ModelUse, spend_markdown
from callsheet.report.markdown import (
    ContactSheet,
    contact_sheet_markdown,
    escaped,
    failures_markdown,
    plan_markdown,
    progress_sentence,
)
from callsheet.shots import Batch, Shot

HOSTILE = (
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1)) `code` **bold** | cell | another",
    "http://evil.example www.evil.example someone@evil.example",
    "# head\n\n- item\n> quote\n```\nfence",
    "&lt;img src=x&gt; \\<b> ~~gone~~ ://",
)


NOON = datetime(2026, 11, 21, 20, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, 8, tzinfo=UTC)
MONEY = Money(Decimal(5), Position(Decimal("1.20"), Decimal("0.80")))
ACCOUNT = Account(MONEY, (ModelUse("veo", 2, 10, 50, 50, MIDNIGHT), ModelUse("imagen", 7, None, 9, None)), MIDNIGHT)


def rendered(markdown: str) -> str:
    return str(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown))


def plan(prompt: str, count: int = 1) -> Plan:
    shots = [
        Shot(id=f"s{n}", line=n, prompt=prompt, image_model="m", aspect_ratio="1:1", image_size="1K", takes=2)
        for n in range(count)
    ]
    actions = (Action("image", "take-1", "create", "new shot", Decimal("0.134")), Action("image", "take-2", "reuse"))
    return Plan(Batch("spring", None, "live"), tuple(ShotPlan(shot, actions) for shot in shots))


def sidecar(text: str) -> Sidecar:
    failure = FailureRecord(step="image", kind="ImageBlocked", message=text, reason="IMAGE_SAFETY")
    take = TakeRecord(take=1, job_key="k", failure=failure)
    return Sidecar(
        campaign="spring",
        batch="spring.live",
        mode="live",
        shot=text,
        line=1,
        prompt=text,
        state="blocked",
        takes=(take,),
        failures=(failure,),
        updated=datetime(2026, 11, 21, tzinfo=UTC),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_is_only_text_in_every_artifact(text: str) -> None:
    line = " ".join(text.split())
    for markdown in (plan_markdown(plan(text)), failures_markdown([sidecar(text)])):
        html = rendered(markdown)
        plain = rendered(markdown.replace(escaped(text), "plain"))
        shown = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        assert shown in html
        assert html.replace(shown, "plain") == plain


@given(st.text())
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    html = rendered(f"| a | b |\n| --- | --- |\n| x{escaped(text)}x | end |\n")
    assert html.count("<td>") == 2
    assert html.count("<") == rendered("| a | b |\n| --- | --- |\n| x | end |\n").count("<")


def test_the_plan_tells_what_is_made_and_the_cost() -> None:
    text = plan_markdown(plan("A boat", 250))
    assert "250 shots, **$33.50**" in text
    assert "| Pictures | create 250, reuse 250 |" in text
    assert "| Videos | none |" in text
    assert "| s0 | create 1, reuse 1 | $0.134 | new shot | A boat |" in text
    assert "and 50 more" in text
    assert "s200" not in text


def test_failures_are_told_once_with_what_to_do() -> None:
    text = failures_markdown([sidecar("no luck")])
    assert text == (
        "- **no luck** is blocked (image): no luck \\(IMAGE\\_SAFETY\\)\n"
        "  - *What to do:* Reword the prompt or change the reference; the provider withheld the picture\\. "
        "(ImageBlocked)"
    )
    assert failures_markdown([]) == ""


def test_what_went_wrong_with_several_takes_in_the_same_way_is_told_once() -> None:
    failure = FailureRecord(step="images", kind="PromptBlocked", message="Refused.")
    takes = [TakeRecord(take=n, job_key="k", failure=failure.model_copy(update={"slot": f"take-{n}"})) for n in (1, 2)]
    one = sidecar("boat").model_copy(update={"takes": tuple(takes), "failures": (takes[0].failure,)})
    assert failures_markdown([one]).count("is blocked (images, 2 times)") == 1
    assert failures_markdown([one]).count("Refused") == 1


def test_the_spend_of_a_rehearsal_is_said_to_be_none() -> None:
    summary = {
        "batch": "spring.rehearsal",
        "mode": "rehearsal",
        "shots": {"total": 3, "done": 2, "blocked": 1, "failed": 0},
        "images": {"created": 4, "reused": 0},
        "videos": {"created": 0, "reused": 0, "resumed": 1},
        "cuts": {"created": 0, "reused": 0},
        "usd": {"estimated": 1.5, "spent": 0.536},
    }
    text = spend_markdown(summary, ACCOUNT)
    assert "would have cost" in text
    assert "| List price of this batch, $0 charged | $0.536 |" in text
    assert "| Images | 4 created |" in text
    assert "| Cuts | none |" in text
    assert "| Shots | 3 total, 2 done, 1 blocked |" in text
    assert "would have cost" not in spend_markdown({**summary, "mode": "live"}, ACCOUNT)


def test_contact_sheets_carry_their_pictures() -> None:
    sheets = [ContactSheet("a](x) <b>", "done. <i>A boat", b"\xff\xd8jpeg"), ContactSheet("two", "", b"\xff\xd8")]
    html = rendered(contact_sheet_markdown(sheets))
    assert html.count('<img src="data:image/jpeg;base64,/9hqcGVn"') == 1
    assert html.count("<img") == 2
    assert 'alt="a](x) &lt;b&gt;"' in html


def test_the_spend_is_held_against_budget_and_quota() -> None:
    summary = {
        "batch": "spring.live",
        "mode": "live",
        "shots": {"total": 1},
        "images": {},
        "videos": {},
        "cuts": {},
        "usd": {"estimated": 0.0, "spent": 1.2},
    }
    text = spend_markdown(summary, ACCOUNT)
    assert "| Budget | $5.00 |" in text
    assert "| Held by requests under way | $0.800 |" in text
    assert "| Left | **$3.00** (60 %) |" in text
    assert "| veo | 50 of 50 (100 %) | 2 of 10 (20 %) | 22 Nov 00:00 Pacific (08:00 UTC) |" in text
    assert "| imagen | 9, no limit known | 7, no limit known | now |" in text
    assert "| Budget | none is set |" in spend_markdown(summary, Account(Money(), (), MIDNIGHT))


def test_the_use_of_a_model_is_that_of_the_last_minute_and_of_today() -> None:
    times = tuple(NOON - timedelta(seconds=seconds) for seconds in (100, 59, 1))
    one = model_use("veo", Use(times, 9), QuotaLimits(10, 50), NOON)
    assert (one.minute, one.per_minute, one.today, one.per_day, one.full_until) == (2, 10, 9, 50, None)
    assert model_use("veo", Use((), 50), QuotaLimits(10, 50), NOON).full_until == MIDNIGHT
    learned = Use((), 9, Learned(rpm=4, day_until=MIDNIGHT))
    assert model_use("veo", learned, QuotaLimits(10, 50), NOON).full_until == MIDNIGHT
    assert model_use("veo", learned, QuotaLimits(10, 50), NOON).per_minute == 4


def test_the_progress_tells_steps_failures_and_money() -> None:
    progress = Progress()
    progress.wanted.update(images=12, shots=6)
    progress.advance("images", 3)
    progress.advance("shots", failed=True)
    text = progress_sentence(Batch("spring", None, "live"), progress, Decimal("0.4"))
    assert text == "spring.live: pictures 3 of 12, shots 1 of 6; 1 shot without success; $0.400 spent"
    assert progress_sentence(Batch("spring", None, "rehearsal"), Progress(), Decimal(0)).endswith("$0.00 at list price")
