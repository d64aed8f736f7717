"""The certificate and key that cuts are signed with: read, and checked before anything is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.errors import SettingsError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_KEY, _CERT = "CALLSHEET_C2PA_KEY", "CALLSHEET_C2PA_CERT"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs: certificates in PEM with the signer's own first, its private key in PEM, and the algorithm.

    `tsa_url` is the time-stamp server that is asked with every signature; None asks nobody.
    """

    chain: bytes
    key: bytes = field(repr=False)
    alg: str = "es256"
    tsa_url: str | None = None


def read_identity(cert: Path, key: Path, alg: str, tsa_url: str | None = None) -> Identity:
    """The identity in two PEM files; SettingsError when it cannot sign now, which tells what is wrong with which file.

    The key is never part of a message.
    """
    chain_pem, key_pem = _read(cert, _CERT), _read(key, _KEY)
    chain, private = _certificates(chain_pem, cert), _private_key(key_pem, key)
    if _public_bytes(chain[0]) != _public_bytes(private):
        raise SettingsError(
            f"{_KEY}: {key} is not the key of the first certificate in {cert} ({_subject(chain[0])}). "
            "Give the key that belongs to it, and put the signer's own certificate first. Nothing was made."
        )
    _check_dates(chain, cert)
    return Identity(chain_pem, key_pem, alg, tsa_url)


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror or error}. Nothing was made.") from error


def _certificates(pem: bytes, path: Path) -> Sequence[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SettingsError(
            f"{_CERT}: {path} holds no certificates in PEM ({error}). Give the signer's certificate followed by those "
            "that vouch for it. Nothing was made."
        ) from error


def _private_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise SettingsError(
            f"{_KEY}: {path} holds no private key in PEM without a passphrase. Write one with `openssl pkcs8 -topk8 "
            "-nocrypt`, readable by you alone. Nothing was made."
        ) from error


def _public_bytes(owner: x509.Certificate | PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_dates(chain: Sequence[x509.Certificate], path: Path) -> None:
    now = datetime.now(UTC)
    for certificate in chain:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begins <= now <= ends:
            raise SettingsError(
                f"{_CERT}: the certificate of {_subject(certificate)} in {path} is valid from {begins:%Y-%m-%d} to "
                f"{ends:%Y-%m-%d}, not today. Renew it. Nothing was made."
            )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no name"
