"""The model catalogue: every known model, its legality, price, limits and end."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.errors import CatalogueError
from callsheet.models import Catalogue, Model, ModelLimits, load_catalogue
from callsheet.models.prices import VideoTokens, video_cost
from callsheet.models.rules import PictureValues, VideoValues, image_findings, video_findings
from callsheet.models.schema import Platform

TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_are_usable_today(catalogue: Catalogue) -> None:
    for model_id, kind in ((catalogue.default_image, "image"), (catalogue.default_video, "video")):
        model = catalogue.get(model_id)
        assert (model.kind, model.driven, model.is_retired(TODAY)) == (kind, True, False)


def test_every_retired_model_names_a_replacement_that_runs(catalogue: Catalogue) -> None:
    retired = [model for model in catalogue.models() if model.is_retired(TODAY)]
    assert len(retired) >= 20
    for model in retired:
        replacement = catalogue.get(model.replacement or "")
        assert not replacement.is_retired(TODAY), model.id
        assert replacement.kind == model.kind, model.id


@pytest.mark.parametrize(
    ("model_id", "replacement"),
    [
        ("veo-3.0-generate-001", "veo-3.1-generate-001"),
        ("veo-3.0-fast-generate-preview", "veo-3.1-fast-generate-001"),
        ("veo-3.1-lite-generate-preview", "veo-3.1-lite-generate-001"),
        ("gemini-2.5-flash-image", "gemini-3.1-flash-image"),
        ("imagen-4.0-generate-001", "gemini-nano-banana-2.1"),
    ],
)
def test_retired_models_point_to_their_successor(catalogue: Catalogue, model_id: str, replacement: str) -> None:
    assert catalogue.get(model_id).replacement == replacement


def test_every_picture_or_video_model_has_a_price_for_its_defaults(catalogue: Catalogue) -> None:
    for model in catalogue.models("image"):
        assert model.image_price(model.defaults.size or "") > 0
    for model in catalogue.models("video"):
        assert model.video_price(None, None) > 0


def test_every_record_says_where_it_is_from(catalogue: Catalogue) -> None:
    for model in catalogue.models():
        assert model.source, model.id
        assert model.checked_on == TODAY


def test_a_model_is_retired_from_its_day_on(catalogue: Catalogue) -> None:
    model = catalogue.get("veo-2.0-generate-001")
    assert not model.is_retired(date(2026, 6, 29))
    assert model.is_retired(date(2026, 6, 30))


def problems(model: Model, *args: object, platform: Platform | None = None, **kwargs: object) -> list[str]:
    if model.kind == "image":
        found = image_findings(model, PictureValues(*args, **kwargs), platform)  # type: ignore[arg-type]
    else:
        found = video_findings(model, VideoValues(*args, **kwargs), platform)  # type: ignore[arg-type]
    return [finding.column for finding in found]


def test_pictures_are_judged_by_ratio_size_references_and_people(catalogue: Catalogue) -> None:
    model = catalogue.get("gemini-nano-banana-2.1")
    assert problems(model, "16:9", "2K", 14, "ALLOW_ADULT", 7) == []
    assert problems(model, "16:10", "512", 15, "everyone") == [
        "aspect_ratio",
        "image_size",
        "person_generation",
        "reference_images",
    ]
    assert problems(model, "1:1", "1K", person_generation="allow_all", platform="gemini_api") == ["person_generation"]


def test_findings_carry_what_is_allowed_and_the_nearest(catalogue: Catalogue) -> None:
    findings = image_findings(catalogue.get("gemini-3-pro-image"), PictureValues("16:10", "1k"))
    assert [finding.suggestion for finding in findings] == ["the nearest is 3:2", "write 1K"]
    assert "4K" in findings[1].allowed


@pytest.mark.parametrize("model_id", ["veo-3.1-generate-001", "veo-3.1-fast-generate-001"])
@pytest.mark.parametrize("resolution", ["1080p", "4k"])
def test_veo_makes_large_videos_only_in_eight_seconds(catalogue: Catalogue, model_id: str, resolution: str) -> None:
    model = catalogue.get(model_id)
    assert problems(model, "16:9", resolution, 8) == []
    assert problems(model, "16:9", resolution, 6) == ["duration_s"]
    assert problems(model, "16:9", "720p", 5) == ["duration_s"]


def test_veo_lite_makes_no_4k(catalogue: Catalogue) -> None:
    model = catalogue.get("veo-3.1-lite-generate-001")
    assert problems(model, "9:16", "4k", 8) == ["resolution"]
    assert problems(model, "9:16", "1080p", 4) == ["duration_s"]


def test_reference_images_need_eight_seconds(catalogue: Catalogue) -> None:
    veo = catalogue.get("veo-3.1-generate-001")
    assert problems(veo, "16:9", "720p", 4, False, references=1) == ["duration_s"]
    assert problems(veo, "16:9", "720p", 8, True, references=1) == ["reference_images"], "a frame, or references"


def test_a_last_frame_needs_a_first(catalogue: Catalogue) -> None:
    model = catalogue.get("veo-3.1-generate-001")
    assert problems(model, "16:9", "720p", 8, True, True) == []
    assert problems(model, "16:9", "720p", 8, False, True) == ["last_frame"]


def test_seed_and_people_depend_on_the_platform(catalogue: Catalogue) -> None:
    model = catalogue.get("veo-3.1-generate-001")
    assert problems(model, "16:9", "720p", 8, seed=1, platform="agent_platform") == []
    assert problems(model, "16:9", "720p", 8, seed=1, platform="gemini_api") == ["seed"]
    assert problems(model, "16:9", "720p", 8, True, person_generation="allow_all", platform="gemini_api") == [
        "person_generation"
    ]


def test_omni_takes_a_range_of_seconds(catalogue: Catalogue) -> None:
    model = catalogue.get("gemini-omni-1.2-flash")
    assert (model.durations_s[0], model.durations_s[-1], model.driven) == (3, 15, True)
    assert problems(model, "16:9", "720p", 16) == ["duration_s"]
    assert problems(model, "16:9", "720p", 15) == []
    between = VideoValues("16:9", "720p", 11, has_last_frame=True)
    (refused,) = video_findings(model, between)
    assert "with a last frame" in refused.what
    assert problems(model, "16:9", "720p", 8, person_generation="allow_all") == ["person_generation"]


@pytest.mark.parametrize("name", ["gemini-omni-1.2-flash", "gemini-omni-1.1-flash", "gemini-omni-1.1-flash-preview"])
@pytest.mark.parametrize("resolution", ["360p", "720p", "1080p", "4k"])
def test_the_tokens_of_a_second_have_the_list_price_of_a_second(
    catalogue: Catalogue, name: str, resolution: str
) -> None:
    model = catalogue.get(name)
    cost = video_cost(model, resolution, VideoTokens(video=model.video_tokens[resolution]))
    assert cost is not None
    assert abs(cost - model.per_second_usd[resolution]) < Decimal("0.002")


def test_prices_are_exact(catalogue: Catalogue) -> None:
    assert catalogue.get("gemini-nano-banana-2.1").image_price("1K") == Decimal("0.0336")
    assert catalogue.get("veo-3.1-fast-generate-001").video_price("1080p", 8) == Decimal("0.96")
    with pytest.raises(CatalogueError, match="prices 720p, 1080p"):
        catalogue.get("veo-3.1-lite-generate-001").video_price("4k", 8)


def test_pixels_come_from_the_table_or_are_about_a_megapixel(catalogue: Catalogue) -> None:
    assert catalogue.get("gemini-nano-banana-2.1").image_pixels("16:9", "2K") == (2752, 1536)
    width, height = catalogue.get("imagen-4.0-generate-001").image_pixels("16:9", "1K")
    assert abs(width * height / 1024**2 - 1) < 0.05
    assert abs(width / height - 16 / 9) < 0.05


@pytest.mark.parametrize(
    ("ratio", "resolution", "pixels"),
    [("16:9", "360p", (640, 360)), ("9:16", "720p", (720, 1280)), ("16:9", "4k", (3840, 2160))],
)
def test_video_pixels(catalogue: Catalogue, ratio: str, resolution: str, pixels: tuple[int, int]) -> None:
    assert catalogue.get("veo-3.1-generate-001").video_pixels(ratio, resolution) == pixels


def test_limits_go_by_tier_and_are_open_when_unknown(catalogue: Catalogue) -> None:
    assert catalogue.get("veo-3.1-generate-001").limits(2) == ModelLimits(rpm=50)
    assert catalogue.get("gemini-3.1-flash-image").limits(1) == ModelLimits(500, 2000)
    assert catalogue.get("imagen-4.0-generate-001").limits(1) == ModelLimits()


def test_an_unknown_model_gets_the_nearest_suggestion(catalogue: Catalogue) -> None:
    assert catalogue.find("veo-3.1-fast") is None
    with pytest.raises(CatalogueError, match=r"Did you mean veo-3\.1-fast-generate-001"):
        catalogue.get("veo-3.1-fast-generate-01")


def test_a_users_file_overrides_single_fields_and_adds_models(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "default_image: my-model\n"
        "models:\n"
        "  gemini-nano-banana-2.1:\n"
        "    limits: {1: {rpm: 7}}\n"
        "    price_usd: {per_image: {1K: 0.5}}\n"
        "  my-model:\n"
        "    inherits: gemini-nano-banana-2.1\n"
        "    sizes: [1K]\n",
    )
    mine = load_catalogue(path)
    model = mine.get("gemini-nano-banana-2.1")
    assert model.limits(1) == ModelLimits(rpm=7, rpd=2000)
    assert (model.image_price("1K"), model.image_price("2K")) == (Decimal("0.5"), Decimal("0.0504"))
    assert (mine.default_image, mine.get("my-model").sizes) == ("my-model", ("1K",))
    assert load_catalogue().get("gemini-nano-banana-2.1").limits(1).rpm == 500


def test_limits_of_any_tier_in_a_users_file_hold_for_every_tier_it_does_not_name(tmp_path: Path) -> None:
    limits = "    limits: {any: {rpm: 60}, 2: {rpm: 90}}\n"
    mine = load_catalogue(write(tmp_path, f"models:\n  gemini-nano-banana-2.1:\n{limits}"))
    model = mine.get("gemini-nano-banana-2.1")
    found = {tier: model.limits(tier) for tier in (0, 1, 2, 3)}
    assert {tier: limit.rpm for tier, limit in found.items()} == {0: 60, 1: 60, 2: 90, 3: 60}
    assert found[1].rpd == 2000, "what is not said stays"
    spend = load_catalogue(write(tmp_path, "spend_usd: {any: {per_10min: 3}}\n")).spend_usd
    assert {limits.per_10min for limits in spend.values()} == {Decimal(3)}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("models: {veo-3.1-generate-001: {colour: red}}", "models.veo-3.1-generate-001.colour"),
        ("models: {x: {inherits: veo-3.1-generate}}", "models.x.inherits"),
        ("models: {x: {inherits: y}, y: {inherits: x}}", "inherits from itself"),
        ("models: {x: {name: X, kind: image}}", "models.x.surface"),
        ("models: {gemini-3-pro-image: {price_usd: {per_image: {1K: -1}}}}", "per_image.1K"),
        ("models: [1]", "models"),
        ("default_video: nothing", "default_video"),
        ("models: {gemini-3-pro-image: {defaults: {size: 8K}}}", "defaults.size"),
        ("models: {gemini-3-pro-image: {replacement: nobody}}", "replacement"),
        ("a: [", "mine.yaml:"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object:os.system 1", "not valid YAML"),
        ("- 1", "mapping"),
        ("[" * 400_000, "nested too deep"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_field(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(write(tmp_path, text))
    assert named in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_catalogue(tmp_path / "none.yaml")
    with pytest.raises(CatalogueError, match="larger than"):
        load_catalogue(write(tmp_path, "#" * 1_100_000))


def test_models_cross_process_borders(catalogue: Catalogue) -> None:
    model = catalogue.get("veo-3.1-generate-001")
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301


def test_prices_change_at_midnight_pacific_on_their_day() -> None:
    catalogue = load_catalogue()
    midnight = datetime(2027, 1, 1, 8, tzinfo=UTC)
    costs = {
        moment: catalogue.price_at(moment).get("gemini-3.8-flash").token_price(1_000_000, 1_000_000)
        for moment in (midnight - timedelta(seconds=1), midnight, midnight + timedelta(days=400))
    }
    assert list(costs.values()) == [Decimal("4.50"), Decimal("9.00"), Decimal("9.00")]
    assert catalogue.price_at(midnight).get("gemini-nano-banana-2.1").image_price("1K") == Decimal("0.0336")


def test_price_changes_of_a_users_own_file_are_kept_to(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "models:\n  gemini-nano-banana-2.1:\n    price_usd:\n      changes:\n"
        "        - {from: 2026-12-24, per_image: {1K: 0.05}}\n        - {from: 2026-12-20, per_image: {1K: 0.04}}\n"
    )
    catalogue = load_catalogue(own)
    prices = [
        catalogue.price_at(datetime(2026, 12, day, 20, tzinfo=UTC)).get("gemini-nano-banana-2.1").image_price("1K")
        for day in (19, 20, 23, 24)
    ]
    assert prices == [Decimal("0.0336"), Decimal("0.04"), Decimal("0.04"), Decimal("0.05")]


@pytest.mark.parametrize(
    ("model", "replacement"),
    [
        ("gemini-2.5-flash-image", "gemini-nano-banana-2.1"),
        ("gemini-3.1-flash-image-preview", "gemini-nano-banana-2.1"),
        ("imagen-3.0-generate-002", "gemini-nano-banana-2.1"),
        ("veo-3.0-fast-generate-preview", "veo-3.1-fast-generate-001"),
        ("gemini-omni-flash-preview", "gemini-omni-1.2-flash"),
        ("veo-3.1-generate-001", None),
        ("no-such-model", None),
    ],
)
def test_a_replacement_is_the_living_model_at_the_end_of_the_chain(model: str, replacement: str | None) -> None:
    assert load_catalogue().find_replacement(model, TODAY) == replacement


def test_no_model_that_is_retired_or_deprecated_is_ever_recommended() -> None:
    catalogue = load_catalogue()
    for model in catalogue.models():
        living = catalogue.find_replacement(model.id, TODAY)
        if model.kind in ("image", "video") and (model.is_retired(TODAY) or model.status == "deprecated"):
            assert living is not None, model.id
        if living is not None:
            found = catalogue.get(living)
            assert (found.driven, found.is_retired(TODAY), found.status == "deprecated") == (True, False, False)


def test_replacements_that_go_in_a_circle_end() -> None:
    catalogue = load_catalogue()
    by_id = dict(catalogue.by_id)
    one, two = "gemini-2.5-flash-image", "gemini-3.1-flash-image"
    by_id[one] = replace(by_id[one], replacement=two)
    by_id[two] = replace(by_id[two], replacement=one)
    assert replace(catalogue, by_id=by_id).find_replacement(one, TODAY) is None
