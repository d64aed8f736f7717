from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import imageio_ffmpeg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from callsheet.archive import layout
from callsheet.archive.sidecar import (
    ClipRecord,
    CutRecord,
    FailureRecord,
    ImageParams,
    Sidecar,
    TakeRecord,
)
from callsheet.report.page import gallery_html
from callsheet.report.view import BatchSummary, gallery_view
from tests.support.gallery_pages import HOSTILE, NOW, SUMMARY, Elements, record, score, shot

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("gallery")


def page(*sidecars: Sidecar, summary: BatchSummary = SUMMARY) -> str:
    return gallery_html(gallery_view(sidecars, summary))


def hostile(text: str) -> Sidecar:
    failure = FailureRecord(step=text, kind=text, message=text, reason=text)
    # What is no name of a file in its folder is refused when the sidecar is read.
    name = text if layout.is_file_name(text) else "take-1.png"
    return shot(
        text,
        prompt=text,
        motion_prompt=text,
        negative_prompt=text,
        tags=(text,),
        state="failed",
        failures=(failure,),
        takes=(TakeRecord(take=1, job_key=text, file=record(name), chosen=True, why=text),),
        clips=(ClipRecord(take=1, job_key=text, model=text, file=record(name, "video/mp4"), poster=record(name)),),
        cuts=(CutRecord(spec=text, take=1, failure=failure),),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_prompt_is_inert_wherever_it_stands(text: str) -> None:
    plain, elements = Elements(page(hostile("plain"))), Elements(page(hostile(text)))
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in elements.tags] == [set(attributes) for _, attributes in plain.tags]
    assert text.replace("\u202e", "\ufffd") in elements.text
    assert "49" not in elements.text.replace("$", "")


@settings(max_examples=60)
@given(st.text(min_size=1))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    plain, elements = Elements(page(hostile("plain"))), Elements(page(hostile(text)))
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in plain.tags]


def test_text_that_hides_or_turns_other_text_is_marked() -> None:
    html = page(hostile("a\u202eb\u2066c\x00d"))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", html)
    assert "a\ufffdb\ufffdc\ufffdd" in html


def test_a_prompt_of_100_kb_is_cut_and_the_sidecar_linked() -> None:
    html = page(shot(prompt="long " * 20_000))
    assert len(html) < 40_000
    assert "…" in html
    assert "shots/hero-1/shot.json" in Elements(html).values("href")


def test_addresses_are_relative_and_lead_to_the_archived_files() -> None:
    names = ("hero 1", "a#b?c", "it's", '100% "x"', "日本", "a/b", "../up", "javascript:alert(1)")
    for name in names:
        elements = Elements(page(shot(name)))
        links = [
            link for link in elements.values("href") + elements.values("src") if not link.startswith(("#", "data:"))
        ]
        assert links
        for link in links:
            assert re.fullmatch(r"shots/[A-Za-z0-9%._~/-]+", link)
            assert unquote(link).startswith(f"shots/{layout.folder_name(name)}/")


def test_nothing_is_loaded_from_elsewhere_and_only_own_style_and_script_run() -> None:
    html = page(shot())
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
    assert " style=" not in html
    assert "onclick" not in html
    policy = next(a["content"] for tag, a in Elements(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_page_tells_what_was_made_what_it_cost_and_what_failed() -> None:
    blocked = FailureRecord(step="clip", kind="VideoFiltered", message="Veo filtered it", reason="58061214")
    html = page(
        shot(usd=0.134),
        shot(
            "two", state="blocked", usd=1.2, clips=(ClipRecord(take=1, job_key="k", model="veo-3.1", failure=blocked),)
        ),
    )
    text = " ".join(Elements(html).text.split())
    assert "Shots 2 Pictures 2 Clips 0 Cuts 0 Would cost $1.33 of $12.50 estimated" in text
    assert "1 done 1 blocked" in text
    assert "clip: VideoFiltered Veo filtered it (58061214) Not charged." in text
    assert text.count("VideoFiltered") == 1
    assert "Rehearsal Placeholder pictures" in text


def test_a_live_batch_has_no_rehearsal_banner() -> None:
    live = BatchSummary("c", "c.live", "live", NOW)
    assert 'class="rehearsal"' not in page(shot(), summary=live)
    assert "<dt>Spent</dt><dd>$0.00</dd>" in page(shot(), summary=live)


def test_an_empty_batch_has_a_page() -> None:
    assert "No shots yet." in page()


def test_thumbnails_are_shown_and_originals_linked() -> None:
    file = record("take-1-a.png").model_copy(update={"thumbnail": "thumb-b.jpg"})
    elements = Elements(page(shot(takes=(TakeRecord(take=1, job_key="k", file=file),))))
    assert "shots/hero-1/thumb-b.jpg" in elements.values("src")
    assert "shots/hero-1/take-1-a.png" in elements.values("href")


def test_what_a_picture_is_made_of_is_shown_and_leads_to_it_both_ways() -> None:
    asked = {"model": "m", "aspect_ratio": "1:1", "image_size": "1K"}
    red = shot("red", image=ImageParams(**asked, edit_of="kite:2"))
    odd = shot("odd", image=ImageParams(**asked, edit_of='<b onclick="x">gone:1'))
    elements = Elements(html := page(red, odd, shot("kite")))
    assert {"#shot-kite", "#shot-red"} <= set(elements.values("href"))
    assert {"shot-kite", "shot-red"} <= set(elements.values("id"))
    assert "kite:2" in elements.text
    assert '<b onclick="x">' not in html


def test_a_page_of_two_thousand_shots_stays_below_five_megabytes() -> None:
    words = "A quiet street after rain, neon in the puddles, " * 20
    like = rich("shot", prompt=words, motion_prompt=words)
    two_takes_and_a_cut = {"takes": like.takes[1:3], "cuts": like.cuts[:1]}
    shots = [like.model_copy(update={"shot": f"shot-{n}", **two_takes_and_a_cut}) for n in range(2_000)]
    assert len(page(*shots).encode()) < 5_000_000
    everything = [like.model_copy(update={"shot": f"shot-{n}"}) for n in range(2_000)]
    assert len(page(*everything).encode()) < 7_500_000


def rich(name: str, **more: object) -> Sidecar:
    takes = tuple(
        TakeRecord(
            take=n,
            job_key=f"{n}",
            file=record(f"take-{n}-0123456789ab.png"),
            score=score(0.9 if n == 3 else n / 6),
            chosen=n == 3,
            why="Sharpest of four, best mean rank." if n == 3 else "",
        )
        for n in range(1, 5)
    )
    clip = ClipRecord(
        take=3,
        job_key="c",
        model="veo-3.1-generate-001",
        resolution="720p",
        file=record("clip-0123456789ab.mp4", "video/mp4", length=2),
        poster=record("poster-0123456789ab.jpg", "image/jpeg"),
    )
    cuts = tuple(
        CutRecord(
            spec=spec,
            take=3,
            how="crop",
            file=record(f"cut-{spec}-0123456789ab.mp4", "video/mp4", width=width, height=height),
            poster=record(f"poster-{spec}.jpg", "image/jpeg", width=width, height=height),
        )
        for spec, width, height in (("9x16", 360, 640), ("1x1", 480, 480), ("16x9", 640, 360))
    )
    values: dict[str, object] = {
        "takes": takes,
        "clips": (clip,),
        "cuts": cuts,
        "motion_prompt": "Slow push in; the boat drifts left, water glitters.",
        "usd": 3.74,
        **more,
    }
    return shot(name, **values)


# --- the page in a browser


def picture(label: str, hue: int, size: tuple[int, int]) -> bytes:
    width, height = size
    image = Image.linear_gradient("L").resize(size)
    image = Image.merge(
        "HSV", (Image.new("L", size, hue), Image.new("L", size, 150), image.point(lambda v: 90 + v // 2))
    )
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.55, height * 0.2, width * 0.75, height * 0.2 + width * 0.2), fill=(255, 236, 200))
    draw.polygon([(0, height), (width * 0.4, height * 0.55), (width * 0.8, height)], fill=(30, 40, 60))
    draw.text((20, 20), f"REHEARSAL  {label}", fill="white", font_size=max(14, width // 30))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def video(size: tuple[int, int]) -> bytes:
    """One second of VP9 in WebM: Chromium builds without licensed codecs play it too."""
    source = f"testsrc2=size={size[0]}x{size[1]}:rate=12:duration=1"
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source]
    argv += ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-f", "webm", "pipe:1"]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def materialise(sidecars: list[Sidecar], folder: Path) -> None:
    clips: dict[tuple[int, int], bytes] = {}
    for index, sidecar in enumerate(sidecars):
        home = folder / "shots" / layout.folder_name(sidecar.shot)
        home.mkdir(parents=True)
        (home / layout.SIDECAR).write_text(sidecar.model_dump_json())
        made = [*sidecar.clips, *sidecar.cuts]
        for n, file in enumerate([r.file for r in sidecar.takes] + [r.poster for r in made]):
            if file:
                size = (file.width or 16, file.height or 9)
                (home / file.file).write_bytes(picture(sidecar.shot, (index * 47 + n * 9) % 256, size))
        for file in (r.file for r in made):
            if file:
                size = (file.width or 16, file.height or 9)
                clips[size] = clips.get(size) or video(size)
                (home / file.file).write_bytes(clips[size])


def sample() -> list[Sidecar]:
    filtered = FailureRecord(
        step="clip", kind="VideoFiltered", message="Veo's filter removed the video.", reason="58061214"
    )
    blocked = FailureRecord(
        step="image", kind="ImageBlocked", message="The picture was withheld.", reason="IMAGE_SAFETY"
    )
    still = rich("still life, no clip", clips=(), cuts=(), motion_prompt=None, tags=("still",), usd=0.536)
    broken = TakeRecord(take=2, job_key="2", failure=blocked)
    return [
        rich("hero boat #1"),
        still,
        rich('héro "日本" 100%?', prompt="\n".join(HOSTILE), tags=("spring", *HOSTILE[:2])),
        rich(
            "filtered",
            state="blocked",
            cuts=(),
            usd=0.536,
            clips=(ClipRecord(take=3, job_key="c", model="veo-3.1-generate-001", failure=filtered),),
        ),
        shot("two takes", state="failed", takes=(*rich("x").takes[:1], broken), usd=0.134),
        shot(
            "later",
            state="parked",
            takes=(),
            failures=(
                FailureRecord(
                    step="image", kind="QuotaParked", message="Today's 250 requests for the model are used up."
                ),
            ),
        ),
    ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch #1 é")
    materialise(sample(), folder)
    (folder / "gallery.html").write_text(page(*sample()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-background-networking", "disable-component-update", "force-device-scale-factor=1"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    window.set_script_timeout(20)
    yield window
    window.quit()


LOADED = """
const done = arguments[0];
document.querySelectorAll('article').forEach(a => a.style.contentVisibility = 'visible');
const pictures = [...document.images];
pictures.forEach(image => image.loading = 'eager');
const videos = [...document.querySelectorAll('video')];
videos.forEach(video => { video.preload = 'auto'; video.load(); });
const began = Date.now();
(function look() {
  const widths = pictures.map(image => image.naturalWidth), ready = videos.map(video => video.readyState);
  if ((widths.every(w => w > 0) && ready.every(r => r >= 2)) || Date.now() - began > 12000)
    done({widths, ready, error: videos.map(v => v.error && v.error.message).filter(Boolean)});
  else setTimeout(look, 50);
})();
"""


def console(browser: object) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[attr-defined]


@pytest.fixture(params=["file", "http"])
def address(request: pytest.FixtureRequest, archive: Path) -> Iterator[str]:
    if request.param == "file":
        yield (archive / "gallery.html").as_uri()
        return
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(archive)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/gallery.html"
    server.shutdown()
    server.server_close()


@pytest.mark.browser
def test_everything_on_the_page_loads_without_a_complaint(browser: object, address: str) -> None:
    browser.get(address)  # type: ignore[attr-defined]
    found = browser.execute_async_script(LOADED)  # type: ignore[attr-defined]
    assert found["error"] == []
    assert len(found["widths"]) == 17
    assert min(found["widths"]) > 0
    assert len(found["ready"]) == 8
    assert min(found["ready"]) >= 2
    assert console(browser) == []


@pytest.mark.browser
def test_filters_and_search_leave_what_fits(browser: object, archive: Path) -> None:
    browser.get((archive / "gallery.html").as_uri())  # type: ignore[attr-defined]
    run = browser.execute_script  # type: ignore[attr-defined]
    shown = "return [...document.querySelectorAll('article:not([hidden]) h2')].map(title => title.textContent)"
    run("document.querySelector('[data-state=blocked]').click()")
    assert run(shown) == ["filtered"]
    run("document.querySelector('[data-state=blocked]').click(); document.querySelector('[data-tag=still]').click()")
    assert run(shown) == ["still life, no clip"]
    run("document.querySelector('[data-tag=still]').click()")
    run("words.value = 'HERO #1'; words.dispatchEvent(new Event('input'))")
    assert run(shown) == ["hero boat #1"]
    assert run("return document.getElementById('shown').textContent") == "1 of 6 shots"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser: object, archive: Path, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[attr-defined]
    browser.get((archive / "gallery.html").as_uri())  # type: ignore[attr-defined]
    run = browser.execute_script  # type: ignore[attr-defined]
    assert run("return document.documentElement.scrollWidth") <= width
    ratios = run(
        "return [...document.querySelectorAll('.cuts video')].map(v => (v.clientWidth / v.clientHeight).toFixed(1))"
    )
    assert ratios[:3] == ["0.6", "1.0", "1.8"]
