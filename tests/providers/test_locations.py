"""Where Agent Platform is asked for a model: where the user says if it is served there, else where it is."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from callsheet.models import load_catalogue
from callsheet.providers import open_providers
from callsheet.providers.access import access_to
from callsheet.providers.protocol import ImageRequest, VideoRequest
from callsheet.providers.routing import choose_location, choose_route
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.service import Service

VIDEO = {"type": "video", "aspect_ratio": "16:9", "resolution": "720p", "duration": "4s"}
IMAGE, VEO, OMNI = "gemini-nano-banana-2.1", "veo-3.1-fast-generate-001", "gemini-omni-1.2-flash"


@pytest.mark.parametrize(
    ("model", "wanted", "location"),
    [
        (IMAGE, "us-central1", "global"),
        (IMAGE, "europe-west4", "global"),
        (IMAGE, "global", "global"),
        (VEO, "us-central1", "us-central1"),
        (VEO, "europe-west4", "europe-west4"),
        (VEO, "global", "us-central1"),
        (VEO, "eu", "us-central1"),
        (OMNI, "europe-west4", "global"),
        ("gemini-3.8-flash", "europe-west4", "europe-west4"),
    ],
)
def test_the_users_location_is_used_where_the_model_is_served(
    tmp_path: Path, model: str, wanted: str, location: str
) -> None:
    settings = load_settings(home=tmp_path, google_cloud_project="p", google_cloud_location=wanted)
    assert choose_route(load_catalogue().get(model), access_to(settings, "live")).location == location
    key = load_settings(home=tmp_path, agent_platform_api_key="e", google_cloud_location=wanted)
    assert choose_route(load_catalogue().get(model), access_to(key, "live")).location == ""


def test_a_model_without_locations_is_asked_where_the_user_says() -> None:
    assert choose_location((), "anywhere") == "anywhere"
    assert choose_location(("europe-west4", "us-east5"), "asia-east1") == "europe-west4"


async def test_pictures_and_clips_go_to_their_own_locations(tmp_path: Path, service: Service) -> None:
    """The same project in one process, over HTTP."""
    settings = load_settings(home=tmp_path, google_cloud_project="p", vertex_base_url=service.url)
    catalogue = load_catalogue()
    async with open_providers(settings, mode="live", rehearsal_url=None, catalogue=catalogue) as providers:
        await providers.images_for(IMAGE).make(ImageRequest(IMAGE, "A cup", "1:1", "1K"))
        name = await providers.videos_for(VEO).submit(
            VideoRequest(VEO, "Steam", aspect_ratio="16:9", resolution="720p", duration_s=4)
        )
    assert "/locations/us-central1/" in name


@pytest.mark.parametrize(
    ("model", "location", "is_served"),
    [
        (IMAGE, "global", True),
        (IMAGE, "us-central1", False),
        (VEO, "europe-west4", True),
        (VEO, "global", False),
        (VEO, "eu", False),
        (OMNI, "global", True),
        (OMNI, "us-central1", False),
    ],
)
def test_the_rehearsal_refuses_a_model_where_agent_platform_does_not_serve_it(
    service: Service, model: str, location: str, is_served: bool
) -> None:
    place = f"{service.url}/v1beta1/projects/p/locations/{location}"
    if model == OMNI:
        url, body = (
            f"{place}/interactions",
            {"model": OMNI, "background": True, "input": "Steam", "response_format": VIDEO},
        )
    elif model == VEO:
        body = {"instances": [{"prompt": "Steam"}], "parameters": {"durationSeconds": 4}}
        url = f"{place}/publishers/google/models/{VEO}:predictLongRunning"
    else:
        body = {"contents": [{"parts": [{"text": "A cup"}]}], "generationConfig": {"responseModalities": ["IMAGE"]}}
        url = f"{place}/publishers/google/models/{IMAGE}:generateContent"
    headers = {"Authorization": "Bearer dummy"}
    reply = httpx2.post(url, json=body, headers=headers, timeout=120)
    assert reply.status_code == (200 if is_served else 404), reply.text
    if not is_served:
        assert reply.json()["error"]["status"] == "NOT_FOUND"
        assert model in reply.json()["error"]["message"]


def test_a_plan_shows_the_location(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text("id,prompt,motion_prompt\ncup,A cup,Steam\n")
    env = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
    plan = lean_cli("plan", "sheet.csv", "--live", "--json", **env)
    assert plan.exit_code == 0, plan.stderr
    assert [one["route"] for one in plan.json["models"]] == [
        "Agent Platform with a project in global",
        "Agent Platform with a project in europe-west4",
    ]
