"""What pictures cost: settled by the tokens that their replies tell, and never by what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import OperationExpired, OperationFailed, VideoFiltered
from callsheet.jobs.charges import MOST_TIMES, failed_video_charge, picture_charge, video_charge
from callsheet.ledger import JobOrder, JobState
from callsheet.models import load_catalogue
from callsheet.models.prices import picture_estimate
from callsheet.providers.outcomes import image_result
from callsheet.providers.reply_body import read_body
from callsheet.providers.reply_spool import Reply
from tests.support.cli import Cli
from tests.support.odd_replies import answer, blob, js
from tests.support.odd_reply_runs import PRICE, ROUTES, jobs_by_shot, run
from tests.support.pictures import a_png
from tests.support.service import Service

CATALOGUE = load_catalogue()
NANO, FLASH = "gemini-nano-banana-2.1", "gemini-3.1-flash-image"
ORDER = JobOrder(
    key="0" * 64, kind="image", mode="live", model=NANO, campaign="c", batch="c.live", shot="a", slot="take-1",
    request={"prompt": "A cat", "image_size": "1K"},
)  # fmt: skip
IMAGE = {"candidatesTokenCount": 1120, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}]}
PROMPT = {"promptTokenCount": 9, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}
INPUTS = {
    "promptTokenCount": 1129,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}, {"modality": "IMAGE", "tokenCount": 1120}],
}
HUGE = 999_999_999_999
# What usage says, and what a picture of 1K by nano-banana-2.1 ($0.0336; $0.50 and $3 a million) then costs.
USAGES: dict[str, tuple[Any, str]] = {
    "prompt": ({**PROMPT, **IMAGE}, "0.033604"),
    "thoughts": ({**PROMPT, **IMAGE, "thoughtsTokenCount": 400}, "0.034804"),
    "input-pictures": ({**INPUTS, **IMAGE}, "0.034164"),
    "input-pictures-and-thoughts": ({**INPUTS, **IMAGE, "thoughtsTokenCount": "2000"}, "0.040164"),
    "snake-case": ({"prompt_token_count": 1000, "thoughts_token_count": 100}, "0.0344"),
    "text-beside-the-picture": (
        {**PROMPT, "candidatesTokensDetails": [*IMAGE["candidatesTokensDetails"],  # type: ignore[misc]
                                               {"modality": "TEXT", "tokenCount": 100}]}, "0.033904"),
    "missing": (None, "0.0336"),
    "empty": ({}, "0.0336"),
    "only-total": ({"totalTokenCount": 5000}, "0.0336"),
    "only-sums": ({"promptTokenCount": 1129, "candidatesTokenCount": 1120}, "0.034164"),
    "only-prompt": ({"promptTokenCount": 1000}, "0.0341"),
    "details-of-one-side": ({**PROMPT, "candidatesTokenCount": 1290}, "0.033604"),
    "details-without-counts": ({"promptTokenCount": 1000, "promptTokensDetails": [{"modality": "TEXT"}]}, "0.0341"),
    "negative": ({"promptTokenCount": -1000, "thoughtsTokenCount": -5000, "candidatesTokenCount": -1}, "0.0336"),
    "negative-details": ({"promptTokensDetails": [{"modality": "TEXT", "tokenCount": -9}], **IMAGE}, "0.0336"),
    "huge-prompt": ({"promptTokenCount": HUGE, **IMAGE}, "0.0336"),
    "huge-thoughts": ({**PROMPT, **IMAGE, "thoughtsTokenCount": HUGE}, "0.0336"),
    "huger": ({**PROMPT, **IMAGE, "thoughtsTokenCount": 10**40}, "0.033604"),
    "half-a-million": ({"promptTokenCount": 500_000, **IMAGE}, "0.0336"),
    "words": ({"promptTokenCount": "many", "thoughtsTokenCount": "1e9", "candidatesTokenCount": True}, "0.0336"),
    "fractions": ({"promptTokenCount": 9.5, "thoughtsTokenCount": float("inf")}, "0.0336"),
    "a-string": ("1290 tokens", "0.0336"),
    "a-list": ([{"promptTokenCount": 7}], "0.0336"),
    "details-as-strings": ({"promptTokensDetails": ["x"], "candidatesTokensDetails": "IMAGE"}, "0.0336"),
}  # fmt: skip


def reply(usage: Any, picture: bytes = a_png("teal")) -> Any:
    whole = answer(blob(picture))
    del whole["usageMetadata"]
    return whole if usage is None else {**whole, "usageMetadata": usage}


@pytest.mark.parametrize("route", ROUTES)
async def test_a_picture_is_settled_by_the_tokens_of_its_reply(tmp_path: Path, route: str) -> None:
    server, report, settings = await run(
        tmp_path, {name: js(reply(usage)) for name, (usage, _) in USAGES.items()}, route
    )
    jobs = await jobs_by_shot(settings)
    cost = {name: job.spent_usd for name, job in jobs.items()}
    assert cost == {name: Decimal(usd) for name, (_, usd) in USAGES.items()}
    assert {job.state for job in jobs.values()} == {JobState.STORED}
    assert set(server.asked.values()) == {1}
    assert report.summary["usd"]["spent"] == pytest.approx(float(sum(cost.values())))


def charge(model: str, tokens: dict[str, int], size: str = "1K", reserved: str = "0.04") -> Decimal:
    order = replace(ORDER, model=model, request={**ORDER.request, "image_size": size})
    return picture_charge(tokens, order, CATALOGUE.get(model), Decimal(reserved))


@pytest.mark.parametrize(
    ("model", "size", "tokens", "usd"),
    [
        (FLASH, "1K", {"output_image": 1120}, "0.0672"),
        (FLASH, "1K", {"output_image": 2240, "output": 7}, "0.1344"),
        (FLASH, "512", {"input_text": 10}, "0.045005"),
        (FLASH, "4K", {"output_image": 2520, "thoughts": 1000}, "0.1542"),
        (NANO, "1K", {"output_image": 2240}, "0.0336"),
        ("gemini-3-pro-image", "4K", {"output_image": 2000, "input_text": 1000}, "0.24"),
        ("gemini-3.1-flash-lite-image", "1K", {"output_image": 1120, "thoughts": 900}, "0.0336"),
    ],
)
def test_what_has_a_price_a_token_costs_that_and_all_else_what_its_size_costs(
    model: str, size: str, tokens: dict[str, int], usd: str
) -> None:
    assert charge(model, tokens, size) == Decimal(usd)


def test_a_users_own_price_of_a_picture_goes_before_the_list_price_of_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"models: {{{FLASH}: {{price_usd: {{per_image: {{1K: 0.04}}}}}}}}\n")
    mine = load_catalogue(tmp_path / "mine.yaml").get(FLASH)
    assert picture_charge({"output_image": 1120}, replace(ORDER, model=FLASH), mine, Decimal("0.05")) == Decimal("0.04")


def test_a_picture_whose_size_has_no_price_any_more_costs_what_was_held_for_it() -> None:
    assert charge(NANO, {"input_text": 10}, size="512", reserved="0.03") == Decimal("0.03")


@given(
    st.dictionaries(
        st.sampled_from(["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount",
                         "promptTokensDetails", "candidatesTokensDetails", "cachedContentTokenCount"]),
        st.one_of(
            st.integers(-(10**15), 10**15), st.text(max_size=5), st.none(), st.floats(),
            st.lists(st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "IMAGE", "", None, 3]),
                                            "tokenCount": st.one_of(st.integers(-9, 10**13), st.text(max_size=3))})),
        ),
    )
)  # fmt: skip
def test_no_usage_makes_a_charge_below_the_price_or_absurdly_above_it(usage: dict[str, Any]) -> None:
    result = image_result(read_body(Reply(200, {}, json.dumps(reply(usage)).encode())))
    usd = charge(NANO, result.tokens)
    assert PRICE <= usd <= MOST_TIMES * Decimal("0.04")


@pytest.mark.parametrize("model", [NANO, FLASH, "gemini-3-pro-image", "gemini-3.1-flash-lite-image"])
def test_the_estimate_holds_prompt_input_pictures_and_some_thought(model: str) -> None:
    known = CATALOGUE.get(model)
    prompt = "Ein Schiff im Nebel, 船が霧の中にいる. " * 20
    for size in known.sizes:
        tokens = {"input_text": len(prompt) // 2, "input_image": 3 * 1120, "thoughts": 1000,
                  "output_image": known.image_tokens.get(size, 0)}  # fmt: skip
        most = picture_estimate(known, size, prompt, 3)
        assert charge(model, tokens, size) <= most <= known.image_price(size) * 2
        assert picture_estimate(known, size, prompt, 0) <= most


@pytest.mark.long
def test_a_rehearsal_charges_input_pictures_and_thoughts_and_the_ledger_says_the_same(
    lean_cli: Cli, service: Service
) -> None:
    (lean_cli.folder / "ref.png").write_bytes(a_png("red"))
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,image_model,takes,reference_images\n"
        f"plain,A boat in the fog,{NANO},2,\nedit,The same boat at night,{FLASH},1,ref.png\n"
    )
    lean_cli.env["GOOGLE_GEMINI_BASE_URL"] = service.url
    planned = lean_cli("plan", "sheet.csv", "--json").json
    summary = lean_cli("run", "sheet.csv", "--json").json
    charged = service.counts()["charged_usd"]
    assert summary["usd"]["spent"] == pytest.approx(charged, abs=1e-9)
    assert summary["usd"]["spent"] > 2 * 0.0336 + 0.067, "words were charged as well"
    assert summary["usd"]["spent"] <= summary["usd"]["estimated"] == pytest.approx(planned["usd_low"])


OMNI = CATALOGUE.get("gemini-omni-1.2-flash")
CLIP = {"resolution": "720p", "duration_s": 8}
CLIP_PRICE = Decimal("0.56")
# What usage says, and what 8 s of 720p by Omni ($0.07/s; $1.50, $9 and $17.50 a million) then cost.
CLIP_USAGES: dict[str, tuple[dict[str, int], str]] = {
    "none": ({}, "0.56"),
    "video": ({"output_video": 32000}, "0.56"),
    "more-video": ({"output_video": 46336}, "0.81088"),
    "input-and-words": ({"input_text": 1000, "input_image": 1000, "output_video": 32000, "output_text": 100,
                         "thoughts": 100}, "0.5648"),
    "words-alone": ({"output_text": 500}, "0.56"),
    "hardly-any": ({"output_video": 10}, "0.56"),
    "absurd": ({"output_video": 10**12}, "0.56"),
    "absurd-input": ({"input_text": 10**9, "output_video": 32000}, "0.56"),
}  # fmt: skip


@pytest.mark.parametrize(("tokens", "usd"), CLIP_USAGES.values(), ids=CLIP_USAGES)
def test_a_video_is_settled_by_its_tokens_and_absurd_ones_are_not_believed(tokens: dict[str, int], usd: str) -> None:
    assert video_charge(tokens, CLIP, OMNI, CLIP_PRICE) == Decimal(usd)


@pytest.mark.parametrize(
    "change", [{"per_second_usd": {"720p": Decimal("0.05")}}, {"per_mtok_usd": {}}, {"per_second_usd": {}}]
)
def test_a_price_of_the_users_own_goes_before_tokens(change: dict[str, Any]) -> None:
    price = Decimal("0.40")
    assert video_charge({"output_video": 46336}, CLIP, replace(OMNI, **change), price) == price


@pytest.mark.parametrize("old", [{}, {"resolution": "8k", "duration_s": 8}, {"resolution": 720}])
def test_a_request_of_before_costs_its_price(old: dict[str, Any]) -> None:
    assert video_charge({"output_video": 46336}, old, OMNI, CLIP_PRICE) == CLIP_PRICE


def test_a_refusal_costs_its_words_and_a_lost_video_costs_its_tokens() -> None:
    refused, failed, gone = VideoFiltered("no"), OperationFailed("no"), OperationExpired("gone")
    assert failed_video_charge(refused, CLIP, OMNI, CLIP_PRICE) == 0
    refused.tokens = {"input_text": 1000, "output_text": 100}
    assert failed_video_charge(refused, CLIP, OMNI, CLIP_PRICE) == Decimal("0.0024")
    refused.tokens = {"input_text": 10**12}
    assert failed_video_charge(refused, CLIP, OMNI, CLIP_PRICE) == CLIP_PRICE
    failed.tokens, failed.charged = {"output_video": 46336}, True
    assert failed_video_charge(failed, CLIP, OMNI, CLIP_PRICE) == Decimal("0.81088")
    assert failed_video_charge(gone, CLIP, OMNI, CLIP_PRICE) == CLIP_PRICE
    assert failed_video_charge(refused, CLIP, CATALOGUE.get("veo-3.1-generate-001"), CLIP_PRICE) == 0
