"""Content Credentials of cuts, signed and read back with the C2PA library and a certificate chain made here."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import av
import c2pa
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from callsheet.cuts.encode.encode import make_cut
from callsheet.errors import MediaError, SettingsError
from callsheet.files import digest_file
from callsheet.media.containers import read_top_boxes
from callsheet.media.probe import probe_video
from callsheet.media.provenance import AI_GENERATED, Provenance, read_mp4_xmp, xmp_packet
from callsheet.media.signing import Parent, Signer, is_signed, open_signer
from callsheet.platforms import load_platforms
from tests.support.media_samples import make_clip
from tests.support.self_made_chain import Chain, make_chain

# What the module makes once is made in one process.
pytestmark = pytest.mark.xdist_group("signing")

XMP = xmp_packet(Provenance("a1b2", "veo-3.1"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def signer(chain: Chain) -> Signer:
    found = open_signer(chain.cert, chain.key, "es256")
    assert found is not None
    return found


@pytest.fixture
async def cut(tmp_path: Path) -> Path:
    """A stamped cut beside `clip.mp4`, which it was made of."""
    clip = make_clip(tmp_path / "clip.mp4", (640, 360), frames=12)
    await make_cut(clip, load_platforms().get("9x16"), tmp_path / "cut.mp4", xmp=XMP)
    return tmp_path / "cut.mp4"


def parent_of(cut: Path) -> Parent:
    clip = cut.with_name("clip.mp4")
    return Parent(clip, "clip-abc.mp4", digest_file(clip).sha256, "veo-3.1")


def read(path: Path, chain: Chain) -> tuple[dict[str, Any], list[str], str]:
    """The active manifest, the codes of what failed, and the verdict."""
    context = c2pa.Context.from_dict({"trust": {"user_anchors": chain.root}, "core": {"allowed_network_hosts": []}})
    with c2pa.Reader(str(path), context=context) as reader:
        failed = [each["code"] for each in reader.get_validation_results()["activeManifest"]["failure"]]
        return reader.get_active_manifest(), failed, str(reader.get_validation_state())


def test_a_signed_cut_validates_names_its_parent_and_says_that_ai_made_it(
    cut: Path, signer: Signer, chain: Chain, tmp_path: Path
) -> None:
    parent, before = parent_of(cut), digest_file(cut.with_name("clip.mp4"))
    signer.sign(cut, tmp_path / "signed.mp4", parent, cropped=True)
    manifest, failed, verdict = read(tmp_path / "signed.mp4", chain)
    assert (verdict, failed) == ("Trusted", [])
    assert manifest["claim_generator_info"][0]["name"] == "callsheet"
    assert manifest["signature_info"]["common_name"] == "Studio"
    assert [(one["relationship"], one["title"], one["instance_id"]) for one in manifest["ingredients"]] == [
        ("parentOf", "clip-abc.mp4", f"sha256:{parent.sha256}")
    ]
    actions = next(one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2")["data"]["actions"]
    assert [one["action"] for one in actions] == ["c2pa.opened", "c2pa.cropped", "c2pa.edited"]
    assert {one["digitalSourceType"] for one in actions[1:]} == {AI_GENERATED}
    assert "veo-3.1" in actions[2]["description"]
    assert digest_file(cut.with_name("clip.mp4")) == before, "the provider's file is not touched"


def test_a_signed_cut_is_the_same_video_with_the_same_xmp(cut: Path, signer: Signer, tmp_path: Path) -> None:
    target = tmp_path / "signed.mp4"
    signer.sign(cut, target, parent_of(cut), cropped=True)
    assert is_signed(target)
    assert not is_signed(cut)
    assert read_mp4_xmp(target) == XMP
    signed, plain = probe_video(target), probe_video(cut)
    assert (signed.frames, signed.duration_s, signed.moov_first) == (plain.frames, plain.duration_s, True)
    assert packets(target) == packets(cut)
    with av.open(str(target), options={"export_xmp": "1"}) as container:
        assert AI_GENERATED in container.metadata["xmp"]
        assert sum(1 for _ in container.decode(video=0)) == 12


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


@pytest.mark.parametrize("part", [b"mdat", b"moov", b"uuid"])
def test_tampering_is_detected(part: bytes, cut: Path, signer: Signer, chain: Chain, tmp_path: Path) -> None:
    target = tmp_path / "signed.mp4"
    signer.sign(cut, target, parent_of(cut), cropped=True)
    box = [box for box in read_top_boxes(target) if box.kind == part][-1]  # the last uuid box is the XMP
    data = bytearray(target.read_bytes())
    data[box.end - 9] ^= 1
    target.write_bytes(data)
    _, failed, verdict = read(target, chain)
    assert verdict == "Invalid"
    assert "assertion.bmffHash.mismatch" in failed


def test_credentials_that_the_clip_came_with_are_kept(cut: Path, signer: Signer, chain: Chain, tmp_path: Path) -> None:
    """As a provider's own would be."""
    clip = cut.with_name("clip.mp4")
    signer.sign(clip, tmp_path / "theirs.mp4", parent_of(cut), cropped=False)
    (tmp_path / "theirs.mp4").replace(clip)
    signer.sign(cut, tmp_path / "signed.mp4", parent_of(cut), cropped=True)
    manifest, failed, verdict = read(tmp_path / "signed.mp4", chain)
    assert (verdict, failed) == ("Trusted", [])
    assert manifest["ingredients"][0]["active_manifest"]
    with c2pa.Reader(str(tmp_path / "signed.mp4")) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 2


def test_what_is_no_video_is_not_signed(cut: Path, signer: Signer, tmp_path: Path) -> None:
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(MediaError):
        signer.sign(cut, tmp_path / "signed.mp4", Parent(cut, "clip", "0" * 64, ""), cropped=False)
    assert not (tmp_path / "signed.mp4").exists()


# --- settings that cannot sign are told before anything is made


def test_nothing_set_means_nothing_is_signed() -> None:
    assert open_signer(None, None, "es256") is None


def test_a_chain_without_a_key_is_refused(chain: Chain) -> None:
    with pytest.raises(SettingsError, match="go together"):
        open_signer(chain.cert, None, "es256")


def test_a_missing_extra_is_named(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(SettingsError, match=r"pip install 'callsheet\[c2pa\]'"):
        open_signer(chain.cert, chain.key, "es256")


def test_files_that_cannot_be_read_or_are_something_else_are_named(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for cert, key, told in (
        (tmp_path / "none.pem", chain.key, "CALLSHEET_C2PA_CERT: .*none.pem cannot be read"),
        (chain.cert, tmp_path / "none.pem", "CALLSHEET_C2PA_KEY: .*none.pem cannot be read"),
        (tmp_path / "empty.pem", chain.key, "empty.pem holds no certificates"),
        (chain.cert, tmp_path / "empty.pem", "empty.pem holds no private key"),
        (chain.cert, tmp_path, "CALLSHEET_C2PA_KEY: .*cannot be read"),
    ):
        with pytest.raises(SettingsError, match=told):
            open_signer(cert, key, "es256")


def test_a_key_with_a_passphrase_is_refused_without_asking(chain: Chain, tmp_path: Path) -> None:
    key = load_pem_private_key(chain.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(SettingsError, match="without a passphrase"):
        open_signer(chain.cert, tmp_path / "locked.pem", "es256")


def test_a_key_of_another_certificate_is_refused_and_not_shown(chain: Chain, tmp_path: Path) -> None:
    other = make_chain(tmp_path)
    with pytest.raises(SettingsError, match="is not the key of the first certificate") as caught:
        open_signer(chain.cert, other.key, "es256")
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("days_left", [-3, 401])
def test_a_certificate_out_of_its_time_is_refused(days_left: int, tmp_path: Path) -> None:
    chain = make_chain(tmp_path, days_left=days_left)
    if days_left > 0:
        assert open_signer(chain.cert, chain.key, "es256")
        return
    with pytest.raises(SettingsError, match=r"CN=Studio.* is valid from .* not today"):
        open_signer(chain.cert, chain.key, "es256")


@pytest.mark.parametrize(("alg", "purpose"), [("ps256", None), ("es256", ExtendedKeyUsageOID.SERVER_AUTH)])
def test_what_the_library_refuses_is_told(alg: str, purpose: Any, tmp_path: Path) -> None:
    chain = make_chain(tmp_path, **({"purpose": purpose} if purpose else {}))
    with pytest.raises(SettingsError, match="Nothing can be signed"):
        open_signer(chain.cert, chain.key, alg)


def test_a_time_stamp_server_that_does_not_answer_is_told_up_front(chain: Chain) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SettingsError, match="Nothing can be signed"):
        open_signer(chain.cert, chain.key, "es256", f"http://127.0.0.1:{port}/")
