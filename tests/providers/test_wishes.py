"""What is asked for is on the wire, or was refused before anything was sent: every field, every column, every route."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet.batch.open import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ImageBlocked, ManifestError, PromptBlocked, Rejected
from callsheet.ledger import JobState
from callsheet.models import load_catalogue
from callsheet.plan import Known, plan_batch, plan_shot
from callsheet.plan.plan_batch import check_sendable
from callsheet.plan.requests import (
    clip_order,
    image_request,
    take_order,
    text_clip_order,
    video_references,
    video_request,
)
from callsheet.providers import Providers, open_providers
from callsheet.providers.outcomes import image_result
from callsheet.providers.protocol import ImageRequest, InputImage, LookRequest, VideoRequest
from callsheet.providers.reply_body import ReplyBody
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Reference, Shot
from tests.support.cli import Cli
from tests.support.plans import BATCH, asset, job
from tests.support.wire_server import KEY, PICTURE, Reply, Server

CATALOGUE = load_catalogue()
IMAGE, LOOK = CATALOGUE.default_image, CATALOGUE.default_look
# Over the Gemini API: behind a compatible gateway, as the server here is one.
VEO = "veo-3.1-generate-001"
ROUTES: dict[str, dict[str, Any]] = {
    "rehearsal": {},
    "gemini": {"gemini_api_key": KEY},
    "project": {"google_cloud_project": "p"},
    "express": {"agent_platform_api_key": KEY},
    "both": {"gemini_api_key": KEY, "google_cloud_project": "p"},
}
LOOKED = {"candidates": [{"content": {"parts": [{"text": "{}"}]}, "finishReason": "STOP"}]}


def picture(colour: str = "red", format_: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(file, format_)
    return file.getvalue()


@contextlib.asynccontextmanager
async def route(name: str, home: Path) -> AsyncIterator[tuple[Providers, Server]]:
    """The providers of a route, and the server that they speak to."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        async with open_providers(
            route_settings(name, home, server.url),
            mode="rehearsal" if name == "rehearsal" else "live",
            rehearsal_url=server.url if name == "rehearsal" else None,
            catalogue=CATALOGUE,
        ) as providers:
            yield providers, server
    finally:
        listening.close()


def route_settings(name: str, home: Path, url: str = "http://127.0.0.1:9") -> Settings:
    return Settings(home=home, gemini_base_url=url, vertex_base_url=url, **ROUTES[name])


def values_in(body: object) -> set[str]:
    """All that a JSON body says, whatever it is called there; base64 of either alphabet."""
    if isinstance(body, Mapping):
        return set().union(*(values_in(each) for each in body.values()), {f"{k}={v}" for k, v in body.items()})
    if isinstance(body, list):
        return set().union(*(values_in(each) for each in body)) if body else set()
    return {str(body).replace("-", "+").replace("_", "/"), str(body).casefold(), str(body)}


def told(value: object) -> set[str]:
    """What must be found in a body for a field's value to be there."""
    if isinstance(value, InputImage):
        return {base64.b64encode(value.data).decode(), value.mime_type}
    if isinstance(value, tuple) and value and isinstance(value[0], InputImage):
        return set().union(*(told(each) for each in value))
    if isinstance(value, tuple):
        return {f"{name}={label}" for name, label in value}
    if isinstance(value, Mapping):
        return {f"{name}={each}" for name, each in value.items()}
    return {str(value).casefold() if isinstance(value, str) and "llow" in value else str(value)}


PICTURES = st.binary(min_size=1, max_size=8).map(lambda data: InputImage(data, "image/png"))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.text("abc xyz", min_size=1, max_size=20),
    "aspect_ratio": st.sampled_from(["16:9", "9:16"]),
    "size": st.sampled_from(["1K", "2K"]),
    "seed": st.integers(1000, 2000),
    "person_generation": st.sampled_from(["allow_adult", "allow_all"]),
    "references": st.lists(PICTURES, min_size=1, max_size=3).map(tuple),
    "pictures": st.lists(PICTURES, min_size=1, max_size=3).map(tuple),
    "first_frame": PICTURES,
    "last_frame": PICTURES,
    "negative_prompt": st.text("abc xyz", min_size=1, max_size=20),
    "resolution": st.sampled_from(["720p", "4k"]),
    "duration_s": st.sampled_from([4, 6, 8]),
    "output_uri": st.just("gs://bucket/place/"),
    "labels": st.just((("job", "j1"),)),
    "schema": st.just({"type": "object"}),
    "max_tokens": st.integers(1000, 2000),
}
SENT: dict[type, Callable[[Providers, Any], Any]] = {
    ImageRequest: lambda providers, wish: providers.images_for(wish.model).make(wish),
    LookRequest: lambda providers, wish: providers.looks_for(wish.model).look(wish),
    VideoRequest: lambda providers, wish: providers.videos_for(wish.model).submit(wish),
}


MODELS: dict[type, str] = {ImageRequest: IMAGE, LookRequest: LOOK, VideoRequest: VEO}
REPLIES: dict[type, Any] = {ImageRequest: PICTURE, LookRequest: LOOKED, VideoRequest: {"name": "models/m/operations/o"}}


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("kind", SENT, ids=lambda kind: kind.__name__)
def test_every_field_of_a_request_is_on_the_wire_or_nothing_is_sent(kind: type, name: str, tmp_path: Path) -> None:
    optional = [field.name for field in dataclasses.fields(kind) if field.name != "model"]  # type: ignore[arg-type]
    needed = {"prompt", "pictures", "schema", "max_tokens"} & set(optional)
    wishes = st.fixed_dictionaries(
        {field: FIELDS[field] for field in needed}, optional={field: FIELDS[field] for field in set(optional) - needed}
    )

    @settings(max_examples=12, deadline=None)
    @given(wishes)
    def check(wish: dict[str, Any]) -> None:
        asyncio.run(_sent_or_refused(kind(MODELS[kind], **wish), wish, name, tmp_path))

    check()


async def _sent_or_refused(request: Any, wish: dict[str, Any], name: str, home: Path) -> None:
    async with route(name, home) as (providers, server):
        server.script = [
            Reply({ImageRequest: PICTURE, LookRequest: LOOKED}.get(type(request), {"name": "models/m/operations/o"}))
        ]
        refusal = ""
        try:
            await SENT[type(request)](providers, request)
        except Rejected as error:
            refusal = error.reason
        if refusal:
            assert (refusal, server.seen) == ("NOT_CARRIED", [])
            return
        carried = providers.takes_labels(request.model)
        said = values_in(server.seen[0].json)
        lost = {field for field, value in wish.items() if not told(value) <= said and (field != "labels" or carried)}
        assert not lost, f"{lost} of {wish} is not in {server.seen[0].json}"


# --- the sheet: every column that is a wish, over every route

WISHES = {
    "aspect_ratio": "16:9",
    "image_size": "2K",
    "seed": "1234",
    "reference_images": "ref.png",
    "negative_prompt": "rain and fog",
    "person_generation": "none",
    "video_aspect_ratio": "9:16",
    "resolution": "720p",
    "duration_s": "8",
    "last_frame": "last.png",
}


@pytest.mark.parametrize("takes", [0, 1])
@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("column", WISHES)
async def test_a_wish_of_the_sheet_is_on_the_wire_or_its_shot_is_refused(
    column: str, name: str, takes: int, tmp_path: Path
) -> None:
    (tmp_path / "ref.png").write_bytes(picture())
    (tmp_path / "last.png").write_bytes(picture())
    text = f"id,prompt,takes,motion_prompt,video_model,{column}\na,A boat,{takes},It sails,{VEO},{WISHES[column]}\n"
    (tmp_path / "sheet.csv").write_text(text)
    async with route(name, tmp_path) as (providers, server):
        request = RunRequest(str(tmp_path / "sheet.csv"), live=name != "rehearsal")
        if takes == 0 and column == "last_frame":
            with pytest.raises(ManifestError, match="a last frame needs a first frame"):
                read_request(request, route_settings(name, tmp_path, server.url))
            return
        sheet, _, batch = read_request(request, route_settings(name, tmp_path, server.url))
        refused = {each.kind: each.problem.column for each in sheet.unsendable}
        await _send(providers, server, batch, sheet.shots[0], refused)
        if refused:
            assert set(refused.values()) == {column}
            with pytest.raises(ManifestError, match=column):
                check_sendable(plan_batch(batch, sheet.shots, Known(), CATALOGUE), sheet.unsendable)
        image_only, video_only = {"image_size"}, {"video_aspect_ratio", "resolution", "duration_s", "last_frame"}
        kinds = {"generateContent", "predictLongRunning"} if takes else {"predictLongRunning"}
        kinds -= {"generateContent"} if column in video_only else set()
        kinds -= {"predictLongRunning"} if column in image_only else set()
        if takes and column == "reference_images":
            kinds -= {"predictLongRunning"}  # the picture that is animated has kept to them
        kinds -= {{"image": "generateContent", "video": "predictLongRunning"}[kind] for kind in refused}
        for seen in server.seen:
            if (method := seen.path.rpartition(":")[2]) in kinds:
                kinds.remove(method)
                assert _is_there(column, sheet.shots[0], seen.json), f"{column} is not in {json.dumps(seen.json)[:500]}"
        assert not kinds, f"{kinds} neither sent nor refused"


def _opened(file: Reference) -> InputImage:
    return InputImage(Path(file.uri).read_bytes(), file.mime_type)


async def _send(providers: Providers, server: Server, batch: Batch, shot: Shot, refused: Mapping[str, str]) -> None:
    """Send what a run would send for the shot, as the steps build it."""
    files, last = tuple(map(_opened, shot.reference_images)), _opened(shot.last_frame) if shot.last_frame else None
    if shot.takes and "image" not in refused:
        server.script.append(Reply(PICTURE))
        asked = image_request(shot, 1, files, take_order(batch, shot, 1).key, 1)
        await providers.images_for(asked.model, about_people=asked.person_generation is not None).make(asked)
    if "video" not in refused:
        server.script.append(Reply({"name": "models/m/operations/o"}))
        first = InputImage(picture(), "image/png") if shot.takes else None
        wish = video_request(shot, first, last, "0" * 64, 1, None, files if video_references(shot) else ())
        await providers.videos_for(wish.model).submit(wish)


def _is_there(column: str, shot: Shot, body: object) -> bool:
    said = values_in(body)
    if column in ("reference_images", "last_frame"):
        files = shot.reference_images or ((shot.last_frame,) if shot.last_frame else ())
        return all(base64.b64encode(Path(one.uri).read_bytes()).decode() in said for one in files)
    if column == "negative_prompt":
        return "rain and fog" in json.dumps(body)
    if column == "person_generation":
        return bool({"allow_none", "dont_allow"} & said)
    return WISHES[column] in said


# --- people


@dataclass(frozen=True)
class People:
    word: str
    image: str
    video: str


@pytest.mark.parametrize(
    "people",
    [
        People("none", "allow_none", "dont_allow"),
        People("adults", "allow_adult", "allow_adult"),
        People("all", "allow_all", "allow_all"),
        People("None", "allow_none", "dont_allow"),
        People("dont_allow", "allow_none", "dont_allow"),
        People("allow_none", "allow_none", "dont_allow"),
        People("ALLOW_ADULT", "ALLOW_ADULT", "ALLOW_ADULT"),
    ],
    ids=lambda people: people.word,
)
def test_people_can_be_said_for_a_shot_that_is_animated_and_old_words_keep_their_keys(
    people: People, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"id,prompt,motion_prompt,person_generation\na,A boat,It sails,{people.word}\n")
    manifest, _, batch = read_request(RunRequest(str(sheet)), load_settings(home=tmp_path))
    shot = manifest.shots[0]
    assert not manifest.unsendable
    assert take_order(batch, shot, 1).request["person_generation"] == people.image
    assert clip_order(batch, shot, 1, "f" * 64).request["person_generation"] == people.video


def test_the_hint_for_a_word_that_is_understood_is_not_its_opposite(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,prompt,person_generation\na,A boat,none\n")
    manifest, _, _ = read_request(RunRequest(str(sheet), live=True), route_settings("gemini", tmp_path))
    assert "gemini_api" in str(manifest.unsendable[0].problem)
    assert "allow_all" not in str(manifest.unsendable[0].problem)


# --- what was made stays made


def test_a_clip_made_without_its_references_stays_made_and_a_new_one_is_made_with_them(tmp_path: Path) -> None:
    (tmp_path / "ref.png").write_bytes(picture())
    text = "id,prompt,takes,motion_prompt,reference_images\na,,0,It sails,{}\n"
    (tmp_path / "with.csv").write_text(text.format("ref.png"))
    (tmp_path / "without.csv").write_text(text.format(""))
    shot = read_request(RunRequest(str(tmp_path / "with.csv")), load_settings(home=tmp_path))[0].shots[0]
    bare = read_request(RunRequest(str(tmp_path / "without.csv")), load_settings(home=tmp_path))[0].shots[0]
    new, plain = clip_order(BATCH, shot, None, None), clip_order(BATCH, bare, None, None)
    assert new.key != plain.key
    before = dataclasses.replace(plain, request={k: v for k, v in plain.request.items() if k != "text_alone"})
    for order, state, what in (
        (before, JobState.STORED, "reuse"),
        (before, JobState.SUBMITTED, "resume"),
        (before, JobState.FAILED, "create"),
        (plain, JobState.STORED, "create"),  # made by this version: the references were added since
        (new, JobState.STORED, "reuse"),
    ):
        earlier = job(order, state, "sha-c")
        known = Known(
            {order.key: earlier},
            {"a": (asset("clip", "c", order, "sha-c"),)},
            frozenset({"shots/a/c"}),
            {("a", "clip"): earlier},
        )
        assert plan_shot(BATCH, shot, known, CATALOGUE).actions[0].what == what, (state, what)
    other = Known({before.key: job(before, JobState.STORED, "sha-c")})
    assert plan_shot(BATCH, shot, other, CATALOGUE).actions[0].what == "create", "it is another shot's"
    assert text_clip_order(BATCH, bare, None) == plain


def test_a_wish_of_old_is_no_reason_against_what_was_made(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,prompt,person_generation\na,A boat,allow_adult\nb,A cup,allow_adult\n")
    request = RunRequest(str(sheet), live=True)
    manifest, catalogue, batch = read_request(request, route_settings("gemini", tmp_path))
    orders = {shot.id: take_order(batch, shot, 1) for shot in manifest.shots}
    jobs = {orders["a"].key: job(orders["a"], JobState.STORED, "sha-a")}
    assets = {"a": (asset("take", "t", orders["a"], "sha-a"),)}
    plan = plan_batch(batch, manifest.shots, Known(jobs, assets, frozenset({"shots/a/t"})), catalogue)
    with pytest.raises(ManifestError) as caught:
        check_sendable(plan, manifest.unsendable)
    assert [problem.line for problem in caught.value.problems] == [3], "only what is still to be sent is refused"
    check_sendable(plan, manifest.unsendable, lambda shot: shot == "a")


def test_a_picture_over_both_keys_goes_where_its_wish_is_taken(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,prompt,person_generation\na,A boat,none\n")
    for name, refused in (("gemini", 1), ("both", 0), ("project", 0), ("rehearsal", 0)):
        request = RunRequest(str(sheet), live=name != "rehearsal")
        assert len(read_request(request, route_settings(name, tmp_path))[0].unsendable) == refused, name


# --- damaged inputs


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_that_is_cut_short_is_not_sent(format_: str, share: float, tmp_path: Path) -> None:
    whole = picture(format_=format_)
    (tmp_path / "ref.png").write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "sheet.csv").write_text("id,prompt,reference_images\na,A boat,ref.png\n")
    sheet = read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path))[0]
    assert [(each.kind, each.problem.column) for each in sheet.unsendable] == [("image", "reference_images")]
    (tmp_path / "ref.png").write_bytes(whole)
    assert not read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path))[0].unsendable


# --- the command


def test_check_plan_and_run_refuse_alike_and_nothing_is_entered(lean_cli: Cli) -> None:
    (lean_cli.folder / "ref.png").write_bytes(picture()[:500])
    (lean_cli.folder / "sheet.csv").write_text("id,prompt,reference_images\na,A boat,ref.png\n")
    for command in ("check", "plan", "run"):
        ran = lean_cli(command, "sheet.csv")
        assert ran.exit_code == 2, ran.stderr
        assert "sheet.csv:2: reference_images: 'ref.png': the picture" in ran.stderr
    assert lean_cli("status").exit_code in (0, 2)


def test_a_rehearsal_without_people_and_with_references_of_a_video_ends_well(lean_cli: Cli) -> None:
    (lean_cli.folder / "ref.png").write_bytes(picture())
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,takes,motion_prompt,video_model,person_generation,reference_images\n"
        f"a,A boat,1,It sails,,none,\nb,,0,A cup turns,{VEO},none,ref.png\n"
    )
    ran = lean_cli("run", "sheet.csv", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["submissions"] == {"image": 1, "video": 2}
    again = lean_cli("run", "sheet.csv", "--json")
    assert again.json["submissions"] == {"image": 0, "video": 0}


def test_in_a_restricted_region_less_may_be_said_about_people(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "id,prompt,motion_prompt,takes,person_generation\na,A,It sails,0,all\nb,B,It sails,0,adults\nc,C,,1,all\n"
    )
    for restricted, refused in ((False, set()), (True, {("a", "video")})):
        given = load_settings(home=tmp_path, restricted_region=restricted)
        found = read_request(RunRequest(str(sheet)), given)[0].unsendable
        assert {(each.shot, each.kind) for each in found} == refused


def test_a_refusal_tells_its_response_and_the_ratings_that_are_not_harmless() -> None:
    ratings = [
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
        {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "probability": "HIGH", "blocked": True},
    ]
    for body, error in (
        ({"candidates": [{"finishReason": "IMAGE_SAFETY", "safetyRatings": ratings}]}, ImageBlocked),
        ({"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": ratings}}, PromptBlocked),
    ):
        with pytest.raises(error, match=r"\(response r-1; rated HARM_CATEGORY_SEXUALLY_EXPLICIT HIGH\)$"):
            image_result(ReplyBody(({**body, "responseId": "r-1"},)))
