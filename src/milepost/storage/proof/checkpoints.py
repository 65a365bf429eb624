"""Signed checkpoints of the audit log, kept outside the database: one immutable object each.

The checkpoint of entry 41,007 of a tenant is ``TENANT/000000041/000000041007.json``, with the
first 16 hex digits of the SHA-256 of the tenant's name. So the newest is found by two listings of
at most about a thousand names each. Knows nothing of the ledger.
"""

import re
from collections.abc import Generator, Iterable

import msgspec

from milepost._base.digest import canonical_json, sha256_bytes
from milepost.entities.audit import CHECKPOINT, Checkpoint
from milepost.entities.errors import ConflictError
from milepost.storage.proof.places import Place
from milepost.storage.proof.signing import Signer, signed_by

_FOLDER_OF = 1000
_TENANT = re.compile(r"[0-9a-f]{16}")
_THOUSAND = re.compile(r"\d{9}")
_OBJECT = re.compile(r"\d{12}\.json")

Found = tuple[str, bytes]
"""Name of an object, as ``TENANT/THOUSAND/SEQUENCE.json``, and what it holds."""


class Checkpoints:
    """The checkpoints of all tenants at one place.

    Args:
        place: Where.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def add(self, checkpoint: Checkpoint) -> None:
        """Store a signed checkpoint; one that covers the same entry with the same hash stays.

        Raises:
            ConflictError: If there is one of that entry with another hash.
            StorageError: If it cannot be stored.
        """
        name = object_name(checkpoint.tenant, checkpoint.sequence)
        if self.place.create(name, msgspec.json.encode(checkpoint) + b"\n"):
            return
        there = self.place.read([name])[0]
        try:
            same = msgspec.json.decode(there, type=Checkpoint).hash == checkpoint.hash
        except msgspec.DecodeError:
            same = False
        if not same:
            raise ConflictError(
                f"there is another checkpoint of entry {checkpoint.sequence} already, with "
                f"another hash: the audit log was changed, or two ledgers share this place.",
                where=self.place.label,
                advice="Run `milepost audit verify`.",
            )

    def newest(self, tenant: str) -> int:
        """Sequence of the newest checkpoint of a tenant, by its name; 0 for none."""
        folder = tenant_folder(tenant)
        for thousand in sorted(_matching(self.place.names(folder), _THOUSAND), reverse=True):
            found = _matching(self.place.names(f"{folder}/{thousand}"), _OBJECT)
            if found:
                return int(max(found)[:12])
        return 0

    def all(self) -> Generator[Found]:
        """Every object that has the name of a checkpoint, by tenant, in the order of entries."""
        for folder in sorted(_matching(self.place.names(""), _TENANT)):
            for thousand in sorted(_matching(self.place.names(folder), _THOUSAND)):
                inner = f"{folder}/{thousand}"
                found = sorted(_matching(self.place.names(inner), _OBJECT))
                names = [f"{inner}/{name}" for name in found]
                yield from zip(names, self.place.read(names), strict=True)


def tenant_folder(tenant: str) -> str:
    """The folder of a tenant: no name from outside becomes a path."""
    return sha256_bytes(tenant.encode())[:16]


def object_name(tenant: str, sequence: int) -> str:
    """Where the checkpoint of an entry is."""
    return f"{tenant_folder(tenant)}/{sequence // _FOLDER_OF:09d}/{sequence:012d}.json"


def sequence_in(name: str) -> int:
    """The entry that an object's name speaks of."""
    return int(name.rpartition("/")[2][:12])


def signed(checkpoint: Checkpoint, signer: Signer) -> Checkpoint:
    """The checkpoint with its signer's key and signature."""
    claimed = msgspec.structs.replace(checkpoint, key=signer.public)
    return msgspec.structs.replace(claimed, signature=signer.sign(message_of(claimed)))


def message_of(checkpoint: Checkpoint) -> bytes:
    """What is signed: the canonical JSON of all fields but the signature."""
    content = msgspec.structs.asdict(checkpoint)
    del content["signature"]
    return canonical_json(content)


def read_checkpoint(name: str, data: bytes) -> Checkpoint | str:
    """The checkpoint of an object, or in words why it is none.

    It is one if it stands under its own name and bears the signature of the key that it names.
    Whether that key is to be believed is another question.
    """
    try:
        checkpoint = msgspec.json.decode(data, type=Checkpoint)
    except msgspec.DecodeError:
        return "it is damaged"
    if checkpoint.kind != CHECKPOINT or checkpoint.format != 1:
        return "it is of a kind that this milepost does not know"
    if object_name(checkpoint.tenant, checkpoint.sequence) != name:
        return "it stands under the name of another one"
    if not signed_by(checkpoint.key, checkpoint.signature, message_of(checkpoint)):
        return "its signature does not fit it"
    return checkpoint


def _matching(names: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    return [name for name in names if pattern.fullmatch(name)]
