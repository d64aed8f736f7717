"""A rehearsal talks to callsheet's rehearsal service and to nobody else, so it costs nothing whatever answers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.batch.open import join_rehearsal
from callsheet.batch.recover import recover_all
from callsheet.batch.request import RunRequest
from callsheet.batch.resolve import looked_at
from callsheet.clock import Clock
from callsheet.errors import NotRehearsal, SettingsError
from callsheet.ledger import Ledger
from callsheet.models import load_catalogue
from callsheet.providers import open_providers
from callsheet.providers.protocol import ImageRequest
from callsheet.rehearsal_proof import ask_service, is_proof, new_challenge, proof_of
from callsheet.settings import load_settings
from tests.support.cli import Cli
from tests.support.gateways import (
    Answering,
    Asked,
    Said,
    as_google,
    echoing,
    gateway,
    older,
    redirecting,
    relaying,
    replaying,
)
from tests.support.service import Service
from tests.support.whole_batch import whole_batch

SHEET = "id,prompt,motion_prompt\ncup,A cup,It turns\nlamp,A lamp,It swings\n"
STRANGERS: dict[str, Answering] = {"a gateway": as_google, "an echo": echoing, "an older service": older}


def stranger(kind: str, service: Service) -> Any:
    if kind == "a redirect":
        return gateway(redirecting, service.url)
    if kind == "a recording":
        challenge = Asked("GET", "/rehearsal/status", {"X-Callsheet-Challenge": new_challenge()}, b"")
        return gateway(replaying, relaying(service.url, challenge))
    return gateway(STRANGERS[kind])


async def join(url: str, home: Path) -> str:
    async with AsyncExitStack() as stack:
        return (await join_rehearsal(stack, load_settings(home=home, gemini_base_url=url)))[0]


@pytest.mark.parametrize("kind", [*STRANGERS, "a redirect", "a recording"])
async def test_rehearsal_at_a_server_without_proof_sends_nothing(kind: str, service: Service, tmp_path: Path) -> None:
    with stranger(kind, service) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost"), f"{server.url}/gateway/"):
            with pytest.raises(SettingsError, match="nothing was sent or charged"):
                await join(url, tmp_path)
    assert server.posts == []
    assert service.counts()["accepted"] == {"image": 0, "video": 0}
    assert all("x-goog-api-key" not in {name.lower() for name in asked.headers} for asked in server.asked)


async def test_rehearsal_where_nobody_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Nobody answers at .*:1 "):
        await join("http://127.0.0.1:1", tmp_path)


async def test_rehearsal_at_an_older_service_says_which_process_to_end(tmp_path: Path) -> None:
    with gateway(older) as server, pytest.raises(SettingsError, match=r"process 4242.*another version \(0\.1\.0\)"):
        await join(server.url, tmp_path)


async def test_rehearsal_whose_own_state_folder_an_older_service_holds_is_refused(tmp_path: Path) -> None:
    with gateway(older) as server:
        (tmp_path / "rehearsal").mkdir()
        (tmp_path / "rehearsal" / "service.json").write_text(f'{{"pid": 4242, "url": "{server.url}"}}')
        async with AsyncExitStack() as stack:
            with pytest.raises(SettingsError, match="end it and start it again"):
                await join_rehearsal(stack, load_settings(home=tmp_path))
    assert server.posts == []


@pytest.mark.parametrize("url", ["https://gateway.example/v1", "http://10.0.0.7:8080", "http://[::1", "gateway:80"])
async def test_rehearsal_ignores_gateways_of_other_machines(url: str, tmp_path: Path) -> None:
    assert (await join(url, tmp_path)).startswith("http://127.0.0.1:")


@pytest.mark.long
@pytest.mark.parametrize("prefix", ["", "/a/b"])
async def test_rehearsal_through_a_gateway_to_the_service_is_taken(
    prefix: str, service: Service, tmp_path: Path, lean_cli: Cli
) -> None:
    def passing_on(asked: Asked) -> Said:
        return relaying(service.url, Asked(asked.method, asked.path.removeprefix(prefix), asked.headers, asked.body))

    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    with gateway(passing_on) as server:
        ran = lean_cli("run", "sheet.csv", "--json", GOOGLE_GEMINI_BASE_URL=server.url + prefix)
    assert (ran.exit_code, ran.json["shots"]["done"]) == (0, 2), ran.stderr
    assert service.counts()["accepted"] == {"image": 2, "video": 2}
    assert server.paid == [], "a gateway to Google has nothing where a rehearsal sends its requests"


@pytest.mark.parametrize("variables", [("GEMINI",), ("GEMINI", "VERTEX")])
def test_command_at_a_gateway_ends_with_2_and_sends_nothing(lean_cli: Cli, variables: tuple[str, ...]) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    with gateway(as_google) as server:
        env = {f"GOOGLE_{name}_BASE_URL": server.url for name in variables}
        ran = lean_cli("run", "sheet.csv", "--json", **env, GEMINI_API_KEY="real", GOOGLE_CLOUD_PROJECT="real")
    assert (ran.exit_code, server.posts) == (2, [])
    assert ran.json["error"] == "SettingsError"
    assert "cannot prove" in ran.json["message"]


@pytest.mark.long
def test_rehearsal_with_a_gateway_for_agent_platform_does_not_ask_it(lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text(SHEET)
    with gateway(as_google) as server:
        env = {"GOOGLE_VERTEX_BASE_URL": server.url, "CALLSHEET_REHEARSAL_FACTOR": "600"}
        ran = lean_cli("run", "sheet.csv", "--json", **env, CALLSHEET_AGENT_PLATFORM_API_KEY="real")
    assert (ran.exit_code, server.asked) == (0, []), ran.stderr


class Swapped:
    """A port on which the rehearsal service answers until something is asked for; a gateway does from then on."""

    def __init__(self, service: Service, moment: str) -> None:
        self.service, self.moment, self.strange = service, moment, list[str]()

    def __call__(self, asked: Asked) -> Said:
        if self.strange or self.moment in asked.path:
            self.strange.append(f"{asked.method} {asked.path}")
            return as_google(asked)
        return relaying(self.service.url, asked)


@pytest.mark.long
@pytest.mark.parametrize("moment", [":generateContent", ":predictLongRunning", ":fetchPredictOperation", ":download"])
@pytest.mark.quick_cases(":generateContent", ":download")
def test_server_swapped_in_mid_run_gets_one_request_and_no_money(moment: str, service: Service, lean_cli: Cli) -> None:
    model = "veo-3.1-generate-preview" if moment == ":download" else "veo-3.1-fast-generate-001"
    (lean_cli.folder / "sheet.csv").write_text(f"id,prompt,motion_prompt,video_model\ncup,A cup,It turns,{model}\n")
    swapped = Swapped(service, moment)
    with gateway(swapped) as server:
        ran = lean_cli("run", "sheet.csv", "--json", GOOGLE_GEMINI_BASE_URL=server.url)
        assert ran.exit_code not in (0, 2, 130), ran.stderr
        said = " ".join(ran.stderr.split())
        assert "without the proof of callsheet's rehearsal service" in said
        assert "Nothing further is sent" in said
        assert len(swapped.strange) == 1, swapped.strange
        assert server.paid == []
        swapped.moment, swapped.strange = "nothing", []
        again = lean_cli("run", "sheet.csv", "--json", GOOGLE_GEMINI_BASE_URL=server.url)
    assert (again.exit_code, again.json["shots"]["done"]) == (0, 1), again.stderr
    assert service.counts()["accepted"] == {"image": 1, "video": 1}, "nothing was lost, nothing made twice"


def test_many_shots_at_a_server_swapped_in_mid_run_are_left_pending(service: Service, lean_cli: Cli) -> None:
    (lean_cli.folder / "sheet.csv").write_text("id,prompt\n" + "".join(f"s{n},A cup {n}\n" for n in range(20)))
    answered = count(1)

    def swapped(asked: Asked) -> Said:
        return (as_google if next(answered) > 8 else partial(relaying, service.url))(asked)

    with gateway(swapped) as server:
        env = {"GOOGLE_GEMINI_BASE_URL": server.url, "CALLSHEET_IMAGE_CONCURRENCY": "2"}
        ran = lean_cli("run", "sheet.csv", "--json", **env)
    assert ran.exit_code not in (0, 2, 130)
    assert ran.json["shots"]["done"] <= 8
    assert len(server.asked) <= 8 + 2, "what was on its way, and nothing more"
    assert server.paid == []


@pytest.mark.long
@pytest.mark.parametrize("moment", [":predictLongRunning", ":fetchPredictOperation"])
async def test_recovery_and_doubts_at_a_gateway_send_nothing(moment: str, service: Service, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,prompt,motion_prompt\ncup,A cup,It turns\n")
    swapped = Swapped(service, moment)
    with gateway(swapped) as server:
        settings = load_settings(home=tmp_path / "home", gemini_base_url=server.url)
        report = await whole_batch(RunRequest(str(sheet)), settings)
        swapped.strange.clear()
        swapped.moment = ""
        async with await Ledger.open(settings.ledger_url, clock=Clock()) as ledger:
            jobs = [job for job in await ledger.jobs_of(report.summary["batch"]) if job.kind == "video"]
            told = await looked_at(ledger, settings, jobs, look=True)
            recovered = await recover_all(settings)
            assert [await ledger.job(job.key) for job in jobs] == jobs
    assert report.exit_code in (1, 4, 5)
    assert ["cannot prove" in doubt.found for doubt in told] == [True]
    assert ["cannot prove" in one.reason for one in recovered] == [True]
    assert {request.split()[0] for request in swapped.strange} == {"GET"}


async def test_providers_of_a_rehearsal_ask_who_answers_before_they_send(service: Service) -> None:
    """Whoever opens them: there is no way around it."""
    with gateway(as_google) as server:
        told: list[NotRehearsal] = []
        async with open_providers(
            load_settings(), mode="rehearsal", rehearsal_url=server.url, catalogue=load_catalogue()
        ) as providers:
            providers.when_answered_by_another(told.append)
            images = providers.images_for("gemini-3.1-flash-image")
            for _ in range(2):
                with pytest.raises(Exception, match="cannot prove that it is"):
                    await images.make(ImageRequest("gemini-3.1-flash-image", "A cup"))
    assert (server.posts, len(told)) == ([], 1)


def test_service_proves_itself_with_every_reply(service: Service) -> None:
    paths = ("/rehearsal/status", "/rehearsal/nothing", "/v1/models", "/rehearsal/v1/models", "/", "/v1/models/x:y")
    for method in ("GET", "POST", "PUT"):
        for path in paths:
            challenge = new_challenge()
            reply = httpx2.request(method, service.url + path, headers={"X-Callsheet-Challenge": challenge}, timeout=30)
            assert is_proof(reply.headers["X-Callsheet-Proof"], challenge), (method, path)
    assert "X-Callsheet-Proof" not in httpx2.get(f"{service.url}/rehearsal/status", timeout=30).headers
    assert ask_service(service.url, 30).is_proven


@given(st.text(max_size=300), st.text(max_size=300))
def test_proof_belongs_to_one_challenge(one: str, other: str) -> None:
    assert not is_proof(one, one)
    assert not is_proof(proof_of(one), other) or one == other
    assert not is_proof("", one)
    assert not is_proof(None, one)
