"""What people look at after a run, in a real browser: the gallery page and the run in the Prefect UI."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx2
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.browser import needs_browser
from tests.support.cli import Cli

pytestmark = [pytest.mark.browser, needs_browser]

HOSTILE = '"<script>document.title=`owned`</script> a ""quoted"" boat"'
SHEET = f"id,prompt,takes,seed,motion_prompt,duration_s,cuts\nboat,{HOSTILE},2,1,It sails,4,9x16\n"

# What a page can try: to write with what needs no leave, to read, to listen, and to have its reader click unseen.
HOSTILE_PAGE = """<script>
const api = 'API', write = api + '/flows/', body = '{"name": "strangers"}', told = {};
const tried = (name, doing) => doing.then(r => r.text()).then(t => told[name] = t, () => told[name] = 'refused');
const heard = path => new Promise(done => {
  const socket = new WebSocket(api.replace('http', 'ws') + path, 'prefect');
  socket.onopen = () => { told[path] = 'open'; done(); };
  socket.onerror = () => { told[path] = 'refused'; done(); };
});
onload = () => Promise.all([
  tried('plain', fetch(write, {method: 'POST', body})),
  tried('unseen', fetch(write, {method: 'POST', body, mode: 'no-cors'})),
  tried('json', fetch(write, {method: 'POST', body, headers: {'Content-Type': 'application/json'}})),
  tried('token', fetch(api + '/csrf-token?client=a')),
  heard('/events/in'), heard('/events/out'), heard('/logs/out'),
]).then(() => { navigator.sendBeacon(write, body); document.forms[0].submit(); window.told = told; });
</script>
<iframe id="ui" src="UI"></iframe><iframe name="answer"></iframe>
<form method="post" enctype="text/plain" action="API/flows/" target="answer">
<input name='{"name": "strangers", "labels": {"a": "' value='"}}'></form>"""


def test_the_gallery_and_the_ui_show_a_finished_batch(cli: Cli, browser: webdriver.Chrome) -> None:
    (cli.folder / "boats.csv").write_text(SHEET)
    done = cli("run", "boats.csv", "--json")
    assert done.exit_code == 0, done.stderr
    gallery_is_whole(browser, done.json["gallery"])
    run_is_shown(browser, cli.env["PREFECT_API_URL"], "boats.rehearsal")


@pytest.mark.xdist_group("prefect")
def test_page_of_another_port_neither_writes_nor_reads_nor_listens_nor_frames(
    browser: webdriver.Chrome, prefect_url: str
) -> None:
    page = HOSTILE_PAGE.replace("API", prefect_url).replace("UI", f"{prefect_url.removesuffix('/api')}/runs")

    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for name in ("127.0.0.1", "localhost"):
            browser.get(f"http://{name}:{server.server_address[1]}/")
            told = WebDriverWait(browser, 60).until(lambda b: b.execute_script("return window.told"))
            assert told.pop("unseen") == ""
            assert set(told.values()) == {"refused"}, told
            for frame in ("answer", "ui"):
                browser.switch_to.frame(frame)
                WebDriverWait(browser, 60).until(lambda b: "of other sites" in b.find_element(By.TAG_NAME, "body").text)
                browser.switch_to.default_content()
        server.shutdown()
    flows = _asked(prefect_url, "flows", {"flows": {"name": {"any_": ["strangers"]}}})
    assert flows == [], "nothing of it was written"


def gallery_is_whole(browser: webdriver.Chrome, path: str) -> None:
    """No console message, every picture decoded, every video playable, and the prompt is text."""
    browser.get(f"file://{path}")
    load_all = "document.querySelectorAll('img').forEach(i => i.loading = 'eager');"
    browser.execute_script(
        load_all + "document.querySelectorAll('video').forEach(v => {v.preload = 'auto'; v.load();})"
    )
    WebDriverWait(browser, 20).until(
        lambda b: b.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    )
    WebDriverWait(browser, 20).until(
        lambda b: b.execute_script("return [...document.querySelectorAll('video')].every(v => v.readyState >= 2)")
    )
    assert len(browser.find_elements(By.TAG_NAME, "video")) == 2
    assert "<script>document.title" in browser.find_element(By.TAG_NAME, "body").text
    assert browser.title != "owned"
    assert browser.get_log("browser") == []


def run_is_shown(browser: webdriver.Chrome, api_url: str, batch: str) -> None:
    """The flow run is named by its batch, has the batch's artifacts, and none of them holds a key."""
    runs = _asked(api_url, "flow_runs", {"flow_runs": {"name": {"any_": [batch]}}})
    assert [run["state"]["message"] for run in runs] == ["1 of 1 shots done"]
    assert set(runs[0]["tags"]) == {"boats", "rehearsal"}
    artifacts = _asked(api_url, "artifacts", {"artifacts": {"flow_run_id": {"any_": [runs[0]["id"]]}}})
    kinds = {artifact["key"].removeprefix("boats-rehearsal-") for artifact in artifacts}
    assert kinds == {"plan", "progress", "contact-sheet", "spend", "gallery"}, "nothing failed: no page says so"
    browser.get(f"{api_url.removesuffix('/api')}/runs/flow-run/{runs[0]['id']}")
    WebDriverWait(browser, 30).until(lambda b: batch in b.find_element(By.TAG_NAME, "body").text)
    sheet = next(artifact for artifact in artifacts if artifact["key"] == "boats-rehearsal-contact-sheet")
    browser.get(f"{api_url.removesuffix('/api')}/artifacts/artifact/{sheet['id']}")
    drawn = (
        "return [...document.images].filter(i => i.src.startsWith('data:image/jpeg') && i.naturalWidth > 400).length"
    )
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(drawn) == 1)


def _asked(api_url: str, things: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    token = httpx2.get(f"{api_url}/csrf-token?client=test", timeout=60).json()["token"]
    given = {"Prefect-Csrf-Client": "test", "Prefect-Csrf-Token": token}
    found: list[dict[str, Any]] = httpx2.post(
        f"{api_url}/{things}/filter", json=wanted, headers=given, timeout=60
    ).json()
    return found
