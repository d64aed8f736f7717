"""What is asked for is on the wire, or was refused before anything was sent: every field, every column, every route."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet.batch.prepare import read_request
from callsheet.batch.request import RunRequest
from callsheet.errors import ImageBlocked, ManifestError, PromptBlocked, Rejected
from callsheet.ledger import JobState
from callsheet.manifest.problems import Unsendable
from callsheet.media.input_pictures import prepare_picture
from callsheet.models import load_catalogue
from callsheet.plan import Known, plan_batch, plan_shot
from callsheet.plan.requests import (
    clip_order,
    image_request,
    step_request,
    take_order,
    text_clip_order,
    video_request,
)
from callsheet.plan.sendable import check_sendable
from callsheet.providers import Providers, open_providers
from callsheet.providers.outcomes import image_result
from callsheet.providers.protocol import ImageRequest, InputImage, InputVideo, LookRequest, VideoRequest
from callsheet.providers.reply_body import ReplyBody
from callsheet.settings import Settings, load_settings
from callsheet.shots import Batch, Reference, Shot
from tests.support.cli import Cli
from tests.support.pictures import REAL_HEIC, TURNED_HEIC, two_colours
from tests.support.plans import BATCH, asset, job
from tests.support.wire_server import KEY, PICTURE, Reply, Server

CATALOGUE = load_catalogue()
IMAGE, LOOK = CATALOGUE.default_image, CATALOGUE.default_look
# Over the Gemini API: behind a compatible gateway, as the server here is one.
VEO = "veo-3.1-generate-001"
OMNI = "gemini-omni-1.2-flash"
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
        if "threshold" in body:
            return {f"{body['category']}={body['threshold']}"}
        return set().union(*(values_in(each) for each in body.values()), {f"{k}={v}" for k, v in body.items()})
    if isinstance(body, list):
        return set().union(*(values_in(each) for each in body)) if body else set()
    texts = {str(body), *str(body).split("\n\nAvoid: "), str(body).removesuffix("s")}
    return {str(body).replace("-", "+").replace("_", "/"), str(body).casefold(), *texts}


def told(value: object) -> set[str]:
    """What must be found in a body for a field's value to be there."""
    if isinstance(value, InputImage):
        return {base64.b64encode(value.data).decode(), value.mime_type}
    if isinstance(value, InputVideo):
        return {base64.b64encode(value.data).decode() if value.data else str(value.uri)}
    if isinstance(value, bool):
        return set()  # what a yes does is asked beside the field that it is about
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
    "source_video": st.sampled_from(
        [InputVideo(data=b"video"), InputVideo(uri="gs://bucket/a.mp4"), InputVideo(uri="https://host/files/a")]
    ),
    "extend": st.booleans(),
    "schema": st.just({"type": "object"}),
    "max_tokens": st.integers(1000, 2000),
    "audio": st.booleans(),
    "enhance_prompt": st.booleans(),
    "style_references": st.lists(PICTURES, min_size=1, max_size=2).map(tuple),
    "system_instruction": st.just("as an etching"),
    "safety": st.just((("HARM_CATEGORY_HARASSMENT", "BLOCK_ONLY_HIGH"), ("HARM_CATEGORY_HATE_SPEECH", "OFF"))),
    "thinking": st.sampled_from(["minimal", "high"]),
}
SENT: dict[type, Callable[[Providers, Any], Any]] = {
    ImageRequest: lambda providers, wish: providers.images_for(wish.model).make(wish),
    LookRequest: lambda providers, wish: providers.looks_for(wish.model).look(wish),
    VideoRequest: lambda providers, wish: providers.videos_for(wish.model).submit(wish),
}


MODELS: dict[str, type] = {IMAGE: ImageRequest, LOOK: LookRequest, VEO: VideoRequest, OMNI: VideoRequest}


@pytest.mark.long
@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("model", MODELS)
def test_every_field_of_a_request_is_on_the_wire_or_nothing_is_sent(model: str, name: str, tmp_path: Path) -> None:
    kind = MODELS[model]
    optional = [field.name for field in dataclasses.fields(kind) if field.name != "model"]  # type: ignore[arg-type]
    needed = {"prompt", "pictures", "schema", "max_tokens"} & set(optional)
    wishes = st.fixed_dictionaries(
        {field: FIELDS[field] for field in needed}, optional={field: FIELDS[field] for field in set(optional) - needed}
    )

    @settings(max_examples=6, deadline=None)
    @given(wishes)
    def check(wish: dict[str, Any]) -> None:
        assert asyncio.run(_lost_of(kind(model, **wish), wish, name, tmp_path)) == set()

    check()


async def _lost_of(request: Any, wish: dict[str, Any], name: str, home: Path) -> set[str]:
    """The fields that were neither on the wire nor refused before anything was sent."""
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
            return set()
        carried = providers.takes_labels(request.model)
        said = values_in(server.seen[0].json)
        return {field for field, value in wish.items() if not told(value) <= said and (field != "labels" or carried)}


@pytest.mark.parametrize(
    "video", [InputVideo(data=b"video"), InputVideo(uri="gs://bucket/a.mp4"), InputVideo(uri="https://host/files/a")]
)
@pytest.mark.parametrize("name", ROUTES)
async def test_a_video_made_longer_is_on_the_wire_or_nothing_is_sent(
    name: str, video: InputVideo, tmp_path: Path
) -> None:
    request = VideoRequest(VEO, "It sails on", source_video=video, extend=True)
    async with route(name, tmp_path) as (providers, server):
        server.script = [Reply({"name": "models/m/operations/o"})]
        refusal = ""
        try:
            await providers.videos_for(VEO).submit(request)
        except Rejected as error:
            refusal = error.reason
        if refusal:
            assert (refusal, server.seen) == ("NOT_CARRIED", [])
            return
        assert told(video) <= values_in(server.seen[0].json["instances"][0]["video"])


# --- the sheet: every column that is a wish, over every route

WISHES = {
    "aspect_ratio": "16:9",
    "image_size": "2K",
    "seed": "1234",
    "reference_images": "ref.png",
    "negative_prompt": "rain and fog",
    "system_instruction": "As an etching",
    "safety": "harassment=only_high",
    "thinking": "high",
    "person_generation": "none",
    "video_aspect_ratio": "9:16",
    "resolution": "720p",
    "duration_s": "8",
    "last_frame": "last.png",
    "video_references": "ref.png;style=last.png",
    "audio": "off",
    "enhance_prompt": "on",
    "extend": "1",
    "clip_edits": "night falls",
}


IMAGE_ONLY = {"image_size", "system_instruction", "safety", "thinking"}
VIDEO_ONLY = {"video_aspect_ratio", "resolution", "duration_s", "last_frame", "video_references"}
VIDEO_ONLY |= {"audio", "enhance_prompt", "extend", "clip_edits"}


@pytest.mark.parametrize("model", [VEO, OMNI])
@pytest.mark.parametrize("takes", [0, 1])
@pytest.mark.parametrize("name", ROUTES)
async def test_a_wish_of_the_sheet_is_on_the_wire_or_its_shot_is_refused(
    name: str, takes: int, model: str, tmp_path: Path
) -> None:
    (tmp_path / "ref.png").write_bytes(picture())
    (tmp_path / "last.png").write_bytes(picture())
    wrong = {"last_frame": "a last frame needs a first frame"} if takes == 0 else {}
    wrong |= {"person_generation": "nothing can be said about people there"} if model == OMNI else {}
    async with route(name, tmp_path) as (providers, server):
        request = RunRequest(str(tmp_path / "sheet.csv"), live=name != "rehearsal")
        for column, reason in wrong.items():
            _write_sheet(tmp_path, takes, model, [column])
            with pytest.raises(ManifestError, match=reason):
                read_request(request, route_settings(name, tmp_path, server.url))
        columns = [column for column in WISHES if column not in wrong]
        _write_sheet(tmp_path, takes, model, columns)
        asked = read_request(request, route_settings(name, tmp_path, server.url))
        assert [shot.id for shot in asked.manifest.shots] == columns
        for shot in asked.manifest.shots:
            await _is_sent_or_refused(providers, server, asked.batch, shot, asked.manifest.unsendable)


def _write_sheet(folder: Path, takes: int, model: str, columns: list[str]) -> None:
    """A shot for each column, which is its id, with that column's wish alone."""
    rows = [["id", "prompt", "takes", "motion_prompt", "video_model", *columns]]
    rows += [[each, "A boat", str(takes), "It sails", model, *_only(each, columns)] for each in columns]
    (folder / "sheet.csv").write_text("".join(",".join(row) + "\n" for row in rows))


def _only(column: str, columns: list[str]) -> list[str]:
    return [WISHES[each] if each == column else "" for each in columns]


async def _is_sent_or_refused(
    providers: Providers, server: Server, batch: Batch, shot: Shot, unsendable: Sequence[Unsendable]
) -> None:
    column, takes = shot.id, shot.takes
    found = [each for each in unsendable if each.shot == shot.id]
    refused = {each.kind: each.problem.column for each in found}
    server.seen.clear()
    await _send(providers, server, batch, shot, refused)
    if refused:
        assert set(refused.values()) == {column}
        with pytest.raises(ManifestError, match=column):
            check_sendable(plan_batch(batch, [shot], Known(), CATALOGUE), found)
    kinds = {"generateContent", "predictLongRunning"} if takes else {"predictLongRunning"}
    kinds -= {"generateContent"} if column in VIDEO_ONLY else set()
    kinds -= {"predictLongRunning"} if column in IMAGE_ONLY else set()
    if takes and column == "reference_images":
        kinds -= {"predictLongRunning"}  # the picture that is animated has kept to them
    kinds -= {{"image": "generateContent", "video": "predictLongRunning"}[kind] for kind in refused}
    for seen in server.seen:
        method = "predictLongRunning" if seen.path.endswith("/interactions") else seen.path.rpartition(":")[2]
        if method in kinds:
            kinds.remove(method)
            assert _is_there(column, shot, seen.json), f"{column} is not in {json.dumps(seen.json)[:500]}"
    assert not kinds, f"{kinds} of {column} neither sent nor refused"


def _opened(file: Reference, model: str = IMAGE) -> InputImage:
    return InputImage(*prepare_picture(Path(file.uri).read_bytes(), CATALOGUE.get(model).mime_types))


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
        kept_to = tuple(_opened(one.source, VEO) for one in shot.kept_references if isinstance(one.source, Reference))
        wish = video_request(shot, first, last, "0" * 64, 1, None, kept_to)
        if shot.extend or shot.clip_edits:  # the wish of a step is its own request
            is_read = providers.videos_for(wish.model).max_source_bytes
            source = InputVideo(data=b"v") if is_read else InputVideo(uri="https://host/files/a")
            prompt = shot.clip_edits[0] if shot.clip_edits else wish.prompt
            wish = replace(step_request(shot, source, prompt, "0" * 64, 1), extend=not shot.clip_edits)
        await providers.videos_for(wish.model).submit(wish)


def _is_there(column: str, shot: Shot, body: object) -> bool:
    said = values_in(body)
    if column in ("reference_images", "last_frame"):
        files = shot.reference_images or ((shot.last_frame,) if shot.last_frame else ())
        return all(base64.b64encode(Path(one.uri).read_bytes()).decode() in said for one in files)
    if column == "video_references":
        files = [one.source for one in shot.kept_references if isinstance(one.source, Reference)]
        return {"ASSET", "STYLE", *(base64.b64encode(Path(one.uri).read_bytes()).decode() for one in files)} <= said
    if column == "clip_edits":
        return '"task": "edit"' in json.dumps(body) and "night falls" in json.dumps(body)
    if column == "extend":
        return '"task": "extend"' in json.dumps(body) or '"video": {' in json.dumps(body)
    if column in ("audio", "enhance_prompt"):
        return {"audio": "generateAudio=False", "enhance_prompt": "enhancePrompt=True"}[column] in said
    if column == "safety":
        return "HARM_CATEGORY_HARASSMENT=BLOCK_ONLY_HIGH" in said
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
    asked = read_request(RunRequest(str(sheet)), load_settings(home=tmp_path))
    manifest, batch = asked.manifest, asked.batch
    shot = manifest.shots[0]
    assert not manifest.unsendable
    assert take_order(batch, shot, 1).request["person_generation"] == people.image
    assert clip_order(batch, shot, 1, "f" * 64).request["person_generation"] == people.video


def test_the_hint_for_a_word_that_is_understood_is_not_its_opposite(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,prompt,person_generation\na,A boat,none\n")
    manifest = read_request(RunRequest(str(sheet), live=True), route_settings("gemini", tmp_path)).manifest
    assert "gemini_api" in str(manifest.unsendable[0].problem)
    assert "allow_all" not in str(manifest.unsendable[0].problem)


# --- what was made stays made


def test_a_clip_made_without_its_references_stays_made_and_a_new_one_is_made_with_them(tmp_path: Path) -> None:
    (tmp_path / "ref.png").write_bytes(picture())
    text = "id,prompt,takes,motion_prompt,reference_images\na,,0,It sails,{}\n"
    (tmp_path / "with.csv").write_text(text.format("ref.png"))
    (tmp_path / "without.csv").write_text(text.format(""))
    shot = read_request(RunRequest(str(tmp_path / "with.csv")), load_settings(home=tmp_path)).manifest.shots[0]
    bare = read_request(RunRequest(str(tmp_path / "without.csv")), load_settings(home=tmp_path)).manifest.shots[0]
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
    asked = read_request(request, route_settings("gemini", tmp_path))
    manifest, catalogue, batch = asked.manifest, asked.catalogue, asked.batch
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
        assert len(read_request(request, route_settings(name, tmp_path)).manifest.unsendable) == refused, name


# --- damaged inputs


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_that_is_cut_short_is_not_sent(format_: str, share: float, tmp_path: Path) -> None:
    whole = picture(format_=format_)
    (tmp_path / "ref.png").write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "sheet.csv").write_text("id,prompt,reference_images\na,A boat,ref.png\n")
    sheet = read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path)).manifest
    assert [(each.kind, each.problem.column) for each in sheet.unsendable] == [("image", "reference_images")]
    (tmp_path / "ref.png").write_bytes(whole)
    assert not read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path)).manifest.unsendable


def test_a_damaged_picture_is_refused_with_its_shot_and_file(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    heic = REAL_HEIC[:300]
    (tmp_path / "ref.heic").write_bytes(heic)
    (tmp_path / "sheet.csv").write_text("id,prompt,reference_images\nboat,A boat,ref.heic\n")
    sheet = read_request(RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path)).manifest
    problem = sheet.unsendable[0].problem
    assert problem.what.startswith("'ref.heic': the picture is damaged or cut short"), problem
    assert problem.what.endswith("in shot boat")


def test_a_picture_is_held_against_the_bytes_that_are_sent(tmp_path: Path) -> None:
    own = tmp_path / "catalogue.yaml"
    own.write_text(f"models: {{{IMAGE}: {{inputs: {{max_bytes: 1200}}}}}}\n")
    (tmp_path / "turned.jpg").write_bytes(two_colours("JPEG", 6, (640, 480)))
    (tmp_path / "plain.jpg").write_bytes(two_colours("JPEG", 1, (64, 48)))
    for name, refused in (("turned.jpg", "as it is sent"), ("plain.jpg", "")):
        (tmp_path / "sheet.csv").write_text(f"id,prompt,reference_images\na,A boat,{name}\n")
        sheet = read_request(
            RunRequest(str(tmp_path / "sheet.csv")), load_settings(home=tmp_path, catalogue=own)
        ).manifest
        assert [refused in each.problem.what for each in sheet.unsendable] == ([True] if refused else [])


# --- the order on the wire, and what is sent of each kind of picture


@pytest.mark.parametrize("name", ROUTES)
async def test_references_are_sent_upright_before_the_prompt_and_named_by_their_own_hash(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("pi_heif")
    files = {"turned.jpg": two_colours("JPEG", 6), "a.heic": REAL_HEIC, "b.gif": two_colours("GIF"), "c.png": picture()}
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / "sheet.csv").write_text(f"id,prompt,reference_images\na,A boat,{';'.join(files)}\n")
    async with route(name, tmp_path) as (providers, server):
        request = RunRequest(str(tmp_path / "sheet.csv"), live=name != "rehearsal")
        asked = read_request(request, route_settings(name, tmp_path, server.url))
        sheet, batch = asked.manifest, asked.batch
        assert not sheet.unsendable
        shot = sheet.shots[0]
        order = take_order(batch, shot, 1)
        assert order.request["inputs"] == [hashlib.sha256(data).hexdigest() for data in files.values()]
        server.script.append(Reply(PICTURE))
        sent = tuple(map(_opened, shot.reference_images))
        await providers.images_for(shot.image_model).make(image_request(shot, 1, sent, order.key, 1))
        *parts, last = server.seen[0].json["contents"][0]["parts"]
        assert last == {"text": "A boat"}
        came = [base64.urlsafe_b64decode(part["inlineData"]["data"]) for part in parts]
        assert [came[1], came[3]] == [REAL_HEIC, files["c.png"]], "byte for byte"
        assert [Image.open(io.BytesIO(came[n])).size for n in (0, 2)] == [(32, 64), (64, 32)]
        types = [part["inlineData"].get("mimeType") or part["inlineData"]["mime_type"] for part in parts]
        assert types == ["image/jpeg", "image/heic", "image/png", "image/png"]


# --- the command


def test_check_plan_and_run_refuse_alike_and_nothing_is_entered(lean_cli: Cli) -> None:
    (lean_cli.folder / "ref.png").write_bytes(picture()[:500])
    (lean_cli.folder / "sheet.csv").write_text("id,prompt,reference_images\na,A boat,ref.png\n")
    for command in ("check", "plan", "run"):
        ran = lean_cli(command, "sheet.csv")
        assert ran.exit_code == 2, ran.stderr
        assert "sheet.csv:2: reference_images: 'ref.png': the picture" in ran.stderr
    assert lean_cli("status").exit_code in (0, 2)


@pytest.mark.long
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


@pytest.mark.long
def test_a_rehearsal_with_references_of_every_kind_ends_well(lean_cli: Cli) -> None:
    pytest.importorskip("pi_heif")
    files = {
        "turned.jpg": two_colours("JPEG", 6),
        "a.heic": REAL_HEIC,
        "t.heic": TURNED_HEIC,
        "b.gif": two_colours("GIF"),
    }
    for file, data in files.items():
        (lean_cli.folder / file).write_bytes(data)
    (lean_cli.folder / "sheet.csv").write_text(
        "id,prompt,takes,motion_prompt,video_model,reference_images,last_frame\n"
        f"a,A boat,1,,,{';'.join(files)},\nb,A cup,0,It turns,{VEO},a.heic;b.gif,\nc,C,1,It turns,{VEO},,t.heic\n"
    )
    ran = lean_cli("run", "sheet.csv", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["submissions"] == {"image": 2, "video": 2}


def test_in_a_restricted_region_less_may_be_said_about_people(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "id,prompt,motion_prompt,takes,person_generation\na,A,It sails,0,all\nb,B,It sails,0,adults\nc,C,,1,all\n"
    )
    for restricted, refused in ((False, set()), (True, {("a", "video")})):
        given = load_settings(home=tmp_path, restricted_region=restricted)
        found = read_request(RunRequest(str(sheet)), given).manifest.unsendable
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
