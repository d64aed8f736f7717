"""Content Credentials: cuts signed by C2PA, with their clip as the parent.

The signature is a box of the file itself. It comes last, for it covers the media and the XMP; a signed file that is
changed afterwards no longer validates. Needs the extra `callsheet[c2pa]`; reading whether a file is signed does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from PIL import Image

from callsheet.errors import MediaError, SettingsError
from callsheet.files import replacing
from callsheet.media.containers import read_top_boxes
from callsheet.media.probe import probe_video
from callsheet.media.provenance import AI_GENERATED

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


_KEY, _CERT = "CALLSHEET_C2PA_KEY", "CALLSHEET_C2PA_CERT"


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that signs: certificates, private key, and algorithm.

    Certificates are in PEM with the signer's own first, the private key in PEM. `tsa_url` is the time-stamp server that
    is asked with every signature; None asks nobody.
    """

    chain: bytes
    key: bytes = field(repr=False)
    alg: str = "es256"
    tsa_url: str | None = None


def read_identity(cert: Path, key: Path, alg: str, tsa_url: str | None = None) -> Identity:
    """Read the identity in two PEM files.

    Raises SettingsError when it cannot sign now, which says what is wrong with which file. The key is never part of a
    message.
    """
    chain_pem, key_pem = _read_file(cert, _CERT), _read_file(key, _KEY)
    chain, private = _load_certificates(chain_pem, cert), _load_private_key(key_pem, key)
    if _encode_public_key(chain[0]) != _encode_public_key(private):
        raise SettingsError(
            f"{_KEY}: {key} is not the key of the first certificate in {cert} ({_format_subject(chain[0])}). "
            "Give the key that belongs to it, and put the signer's own certificate first. Nothing was made."
        )
    _check_dates(chain, cert)
    return Identity(chain_pem, key_pem, alg, tsa_url)


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror or error}. Nothing was made.") from error


def _load_certificates(pem: bytes, path: Path) -> Sequence[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SettingsError(
            f"{_CERT}: {path} holds no certificates in PEM ({error}). Give the signer's certificate followed by those "
            "that vouch for it. Nothing was made."
        ) from error


def _load_private_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise SettingsError(
            f"{_KEY}: {path} holds no private key in PEM without a passphrase. Write one with `openssl pkcs8 -topk8 "
            "-nocrypt`, readable by you alone. Nothing was made."
        ) from error


def _encode_public_key(owner: x509.Certificate | PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_dates(chain: Sequence[x509.Certificate], path: Path) -> None:
    now = datetime.now(UTC)
    for certificate in chain:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= now <= ends:
            raise SettingsError(
                f"{_CERT}: the certificate of {_format_subject(certificate)} in {path} is valid from {begins:%Y-%m-%d} "
                f"to {ends:%Y-%m-%d}, not today. Renew it. Nothing was made."
            )


def _format_subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no name"


# The box of a manifest in MP4 (C2PA technical specification 2.4, "Embedding manifests into BMFF-based assets").
C2PA_UUID = bytes.fromhex("D8FEC3D61B0E483C92975828877EC481")
# Thumbnails would grow every cut. Nothing is fetched: neither manifests that a file points to nor OCSP replies.
_POLICY = {
    "builder": {"intent": "edit", "thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}


@dataclass(frozen=True, slots=True)
class Parent:
    """The clip that a cut was made of.

    Its file, its name and hash in the archive, and the model that made it.
    """

    path: Path
    name: str
    sha256: str
    model: str


class _Streams(NamedTuple):
    """The streams of one signing: what is signed, where to, and the parent."""

    mime_type: str
    source: BinaryIO
    target: BinaryIO
    parent: BinaryIO


class Signer:
    """Signs cuts in the name of one identity.

    Every signature is another one, so a file is signed once and kept.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign(self, cut: Path, target: Path, parent: Parent, *, cropped: bool) -> None:
        """Write `cut` with a manifest to `target`; `cut` is left as it is.

        `target` appears only whole. The manifest says that the parent was opened and edited, and by which kind of
        source it was made. A manifest that the parent itself carries is kept in it. Raises MediaError when it cannot be
        signed.
        """
        before = _probe_facts(cut)
        with replacing(target) as part:
            with cut.open("rb") as source, parent.path.open("rb") as opened, part.open("w+b") as written:
                try:
                    self._sign(_Streams("video/mp4", source, written, opened), parent, cropped=cropped)
                except _import_c2pa().C2paError as error:
                    raise MediaError(f"A cut of {parent.name} could not be signed: {error} (not kept).") from error
            if _probe_facts(part) != before:
                raise MediaError(f"A cut of {parent.name} is another video after it was signed. It was not kept.")

    def check(self) -> None:
        """Sign a small picture to see that signing works.

        Raises SettingsError, with the reason, when the library or the time-stamp server refuses.
        """
        picture = BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "JPEG")
        parent = Parent(Path(), "trial", "0" * 64, "")
        source, opened = BytesIO(picture.getvalue()), BytesIO(picture.getvalue())
        try:
            self._sign(_Streams("image/jpeg", source, BytesIO(), opened), parent, cropped=False)
        except _import_c2pa().C2paError as error:
            tsa = f" and the time-stamp server {self._identity.tsa_url}" if self._identity.tsa_url else ""
            raise SettingsError(
                f"Nothing can be signed with CALLSHEET_C2PA_CERT, _KEY, _ALG ({self._identity.alg}){tsa}: {error}. "
                "The certificate must fit the algorithm and be made for signing content (digitalSignature, and an "
                "extended key usage such as emailProtection). Nothing was made."
            ) from error

    def _sign(self, streams: _Streams, parent: Parent, *, cropped: bool) -> None:
        c2pa, who = _import_c2pa(), self._identity
        info = c2pa.C2paSignerInfo(who.alg, who.chain, who.key, who.tsa_url)
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context.from_dict(_POLICY) as context,
            c2pa.Builder(_make_manifest(parent, cropped), context=context) as builder,
        ):
            builder.add_ingredient(_make_ingredient(parent), streams.mime_type, streams.parent)
            builder.sign(signer, streams.mime_type, streams.source, streams.target)


def open_signer(cert: Path | None, key: Path | None, alg: str, tsa_url: str | None = None) -> Signer | None:
    """Return the signer for the settings, known to work.

    None when neither certificate nor key is set. Raises SettingsError when one of them is missing, the extra is not
    installed, or nothing can be signed with them.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise SettingsError("CALLSHEET_C2PA_CERT and CALLSHEET_C2PA_KEY go together: set both, or neither.")
    try:
        _import_c2pa()
    except ImportError as error:
        raise SettingsError(
            "CALLSHEET_C2PA_CERT is set, but C2PA is not installed here: pip install 'callsheet[c2pa]', or unset it. "
            "Nothing was made."
        ) from error
    signer = Signer(read_identity(cert, key, alg, tsa_url))
    signer.check()
    return signer


def is_signed(path: Path) -> bool:
    """Return whether an MP4 carries a C2PA manifest.

    Raises MediaError when it is no whole MP4.
    """
    with path.open("rb") as file:
        for box in read_top_boxes(path):
            file.seek(box.body)
            if box.kind == b"uuid" and file.read(16) == C2PA_UUID:
                return True
    return False


def _probe_facts(path: Path) -> tuple[object, ...]:
    probe = probe_video(path)
    return probe.width, probe.height, probe.frames, probe.duration_s, probe.audio_codec, probe.moov_first


def _make_manifest(parent: Parent, cropped: bool) -> dict[str, Any]:
    # "opened" is added by the library for the parent, as the specification wants it (2.4, "Actions").
    edited = {
        "action": "c2pa.edited",
        "digitalSourceType": AI_GENERATED,
        "description": f"Conformed for social media; the clip was made with {parent.model or 'AI'}.",
    }
    actions = [*([{"action": "c2pa.cropped", "digitalSourceType": AI_GENERATED}] if cropped else []), edited]
    return {
        "claim_generator_info": [{"name": "callsheet", "version": version("callsheet")}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _make_ingredient(parent: Parent) -> dict[str, str]:
    return {"title": parent.name, "relationship": "parentOf", "instance_id": f"sha256:{parent.sha256}"}


def _import_c2pa() -> Any:
    import c2pa  # an extra, and a library of 23 MB that only signing needs

    return c2pa
