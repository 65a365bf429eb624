"""The key that signs checkpoints of the audit log: Ed25519 (RFC 8032), one file per person.

The private key never leaves this module: not into a record, a log or an error.
"""

import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from milepost.entities.errors import InputError, StorageError, WorkspaceError
from milepost.storage.files.digest_files import explained, make_folders
from milepost.storage.proof.new_files import write_new

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "ed25519:"
KEY_FILE = "signing-key.pem"
_OWN = "MILEPOST_SIGNING_KEY"
_FOLDER = "MILEPOST_KEYS"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Signer:
    """Signs with one private key, which it does not show.

    Args:
        key: The key.
    """

    _key: "Ed25519PrivateKey" = field(repr=False)

    @cached_property
    def public(self) -> str:
        """The public key: ``ed25519:`` and 64 hex digits."""
        return PREFIX + self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> str:
        """The signature of ``message``: 128 hex digits."""
        return self._key.sign(message).hex()


def key_file() -> Path:
    """Where the own key is: ``MILEPOST_SIGNING_KEY``, else a file of the user.

    The folder of that file is ``MILEPOST_KEYS``, else the user's data folder.
    """
    named = os.environ.get(_OWN)
    if named:
        return Path(named)
    folder = os.environ.get(_FOLDER)
    return (Path(folder) if folder else user_data_path("milepost")) / KEY_FILE


def own_signer() -> Signer:
    """The signer with the own key; the user's file is made when it is not there.

    A file that ``MILEPOST_SIGNING_KEY`` names is never made: a key at a mistyped place helps
    nobody.

    Raises:
        WorkspaceError: If the file is missing where it was named, or others can read it.
        StorageError: If it holds no usable key, or cannot be read or made.
    """
    path = key_file()
    if not _there(path) and not os.environ.get(_OWN):
        _make(path)
    return _read(path)


def known_signer() -> Signer | None:
    """The signer with the own key; ``None`` when there is none yet, and none is made.

    Raises:
        WorkspaceError: As ``own_signer``.
        StorageError: As ``own_signer``.
    """
    path = key_file()
    return _read(path) if _there(path) or os.environ.get(_OWN) else None


def is_public_key(text: str) -> bool:
    """Whether ``text`` is ``ed25519:`` and 64 lower-case hex digits."""
    digits = text.removeprefix(PREFIX)
    return text.startswith(PREFIX) and len(digits) == 64 and _HEX.issuperset(digits)


def check_public_key(text: str) -> str:
    """``text`` as a public key.

    Raises:
        InputError: If it is none.
    """
    if not is_public_key(text):
        raise InputError(
            f"{text[:80]!r} is not a public key.",
            where="signers",
            advice="A public key is `ed25519:` and 64 hex digits; `milepost audit key` prints "
            "your own.",
        )
    return text


def signed_by(public: str, signature: str, message: bytes) -> bool:
    """Whether the owner of ``public`` signed ``message``; never raises for bad input."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not is_public_key(public) or len(signature) != 128 or not _HEX.issuperset(signature):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.removeprefix(PREFIX)))
        key.verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _there(path: Path) -> bool:
    with explained(path):
        return path.exists()


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with explained(path):
        make_folders(path.parent)
    # Of several processes that make one at once, the first one's stays.
    write_new(path, pem, mode=0o600)


def _read(path: Path) -> Signer:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_ssh_private_key,
    )

    if not _there(path):
        raise WorkspaceError(
            f"{_OWN} names a file that is not there.",
            where=str(path),
            advice=f"Make a key with `ssh-keygen -t ed25519 -N '' -f {path}`, or leave the "
            f"variable unset.",
        )
    with explained(path), path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise WorkspaceError(
                "others can read this signing key.",
                where=str(path),
                advice=f"Run `chmod 600 {path}`; if somebody may have copied it, make a new one.",
            )
        data = file.read(1 << 16)
    try:
        load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
        key = load(data, password=None)
    # The library's words are left out: they may repeat what the file holds.
    except TypeError:
        raise _unusable(path, "it is protected by a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(path, "it holds no private key in PEM or OpenSSH format") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it is of another kind than Ed25519")
    return Signer(key)


def _unusable(path: Path, why: str) -> StorageError:
    return StorageError(
        f"the signing key cannot be used: {why}.",
        where=str(path),
        advice="Put an Ed25519 key without a passphrase there.",
    )
