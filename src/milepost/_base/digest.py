"""SHA-256 digests of bytes, files and JSON-able values (FIPS 180-4), as lower-case hex."""

import hashlib
from pathlib import Path

import msgspec


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """JSON bytes that are equal for equal values: sorted keys, no spaces, UTF-8."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(value: object) -> str:
    """SHA-256 of a value's canonical JSON. ``value`` is anything that msgspec encodes."""
    return sha256_bytes(canonical_json(value))
