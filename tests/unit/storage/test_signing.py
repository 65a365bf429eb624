"""The key that signs checkpoints: where it is, who may read it, and that it stays private."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from milepost._base.clock import utc_now
from milepost.entities.audit import Checkpoint
from milepost.entities.errors import ConflictError, InputError, MilepostError, WorkspaceError
from milepost.entities.ids import Digest
from milepost.storage.proof.checkpoints import Checkpoints, read_checkpoint, signed
from milepost.storage.proof.places import LocalPlace, open_place
from milepost.storage.proof.signing import (
    check_public_key,
    key_file,
    known_signer,
    own_signer,
    signed_by,
)
from milepost.storage.proof.witness import Witness


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_KEYS", str(tmp_path / "keys"))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def pem(key: object, encryption: object = None) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )


def test_a_key_is_made_once_and_for_its_owner_only() -> None:
    assert known_signer() is None
    signer = own_signer()
    assert own_signer().public == signer.public
    path = key_file()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert known_signer() is not None


def test_a_signature_is_its_signers() -> None:
    signer = own_signer()
    signature = signer.sign(b"message")
    assert signed_by(signer.public, signature, b"message")
    assert not signed_by(signer.public, signature, b"messagE")
    other = "ed25519:" + Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    assert not signed_by(other, signature, b"message")
    for bad in ("", "ed25519:", "ed25519:" + "zz" * 32, signer.public.upper()):
        assert not signed_by(bad, signature, b"message")
    for bad in ("", "00" * 64, signature.upper(), signature[:-2]):
        assert not signed_by(signer.public, bad, b"message")


def test_the_private_key_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    signer = own_signer()
    secret = key_file().read_text().splitlines()[1]
    raw = signer._key.private_bytes_raw()
    print(signer, repr(signer), vars(signer))  # noqa: T201
    shown = capsys.readouterr().out
    assert secret not in shown
    assert raw.hex() not in shown
    assert base64.b64encode(raw).decode() not in shown


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused(mode: int) -> None:
    own_signer()
    key_file().chmod(mode)
    with pytest.raises(WorkspaceError, match="chmod 600"):
        own_signer()


def test_a_named_key_in_pem_and_openssh_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    public = "ed25519:" + key.public_key().public_bytes_raw().hex()
    ssh = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    for name, data in (("a.pem", pem(key)), ("id_ed25519", ssh)):
        monkeypatch.setenv("MILEPOST_SIGNING_KEY", str(written(tmp_path / name, data)))
        assert own_signer().public == public
    assert not (tmp_path / "keys").exists()


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
def test_a_key_of_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    monkeypatch.setenv("MILEPOST_SIGNING_KEY", str(path))
    signer = own_signer()
    assert signed_by(signer.public, signer.sign(b"x"), b"x")


def test_keys_that_cannot_be_used_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret"))
    cases = {
        "passphrase": locked,
        "another kind": pem(generate_private_key(SECP256R1())),
        "no private key": b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n",
        "holds no": b"",
    }
    for words, data in cases.items():
        monkeypatch.setenv("MILEPOST_SIGNING_KEY", str(written(tmp_path / "key", data)))
        with pytest.raises(MilepostError, match=words):
            own_signer()
    monkeypatch.setenv("MILEPOST_SIGNING_KEY", str(tmp_path / "nothing"))
    for ask in (own_signer, known_signer):
        with pytest.raises(WorkspaceError, match="not there"):
            ask()
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("text", ["", "ed25519:", "ssh-ed25519 AAAA", "ed25519:" + "F" * 64])
def test_something_else_than_a_public_key_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="milepost audit key"):
        check_public_key(text)


def test_processes_that_make_a_key_at_once_agree(tmp_path: Path) -> None:
    code = (
        "from milepost.storage.proof.signing import own_signer as own; input(); print(own().public)"
    )
    many = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = {each.communicate("\n")[0] for each in many}
    assert keys == {own_signer().public + "\n"}


def checkpoint(sequence: int, digest: str = "0" * 64) -> Checkpoint:
    bare = Checkpoint(
        tenant="default", sequence=sequence, hash=Digest(digest), at="", previous=0, key=""
    )
    return signed(bare, own_signer())


@pytest.fixture(params=["folder", "memory", "s3"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    if request.param == "s3":
        return Checkpoints(open_place(request.getfixturevalue("s3_store")))
    url = {"folder": tmp_path / "kept", "memory": f"memory://{tmp_path}/kept"}[request.param]
    return Checkpoints(open_place(url))


def test_checkpoints_are_kept_and_found(checkpoints: Checkpoints) -> None:
    assert list(checkpoints.all()) == []
    assert checkpoints.newest("default") == 0
    numbers = [1, 2, 999, 1000, 1001, 4711, 20_000]
    for number in reversed(numbers):
        checkpoints.add(checkpoint(number))
    assert checkpoints.newest("default") == 20_000
    assert checkpoints.newest("other") == 0
    read = [read_checkpoint(name, data) for name, data in checkpoints.all()]
    assert [each.sequence for each in read if isinstance(each, Checkpoint)] == numbers


def test_a_checkpoint_is_never_replaced(checkpoints: Checkpoints) -> None:
    checkpoints.add(checkpoint(5))
    checkpoints.add(checkpoint(5))
    before = list(checkpoints.all())
    with pytest.raises(ConflictError, match="another hash"):
        checkpoints.add(checkpoint(5, "1" * 64))
    assert list(checkpoints.all()) == before


def test_other_files_in_the_folder_do_not_matter(tmp_path: Path) -> None:
    place = LocalPlace(tmp_path)
    held = Checkpoints(place)
    held.add(checkpoint(5))
    name = next(iter(held.all()))[0]
    (tmp_path / ".DS_Store").write_text("")
    (tmp_path / name).with_name(".1234.tmp").write_text("half")
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "notes.txt").write_text("")
    assert [each for each, _ in held.all()] == [name]
    assert held.newest("default") == 5


@pytest.mark.parametrize("url", ["nothing://here", "s4://user:pa55word@host/x"])
def test_an_address_that_cannot_be_used_keeps_its_password(url: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        open_place(url)
    assert "pa55word" not in str(caught.value)


def test_nothing_is_opened_before_the_first_commit() -> None:
    def never() -> Checkpoints:
        raise AssertionError

    witness = Witness(never, own_signer, utc_now)
    witness.flush()
    assert not key_file().exists()


def test_a_witness_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Checkpoints:
        raise RuntimeError("postgresql://user:pa55word@host")

    with caplog.at_level("WARNING", "milepost"):
        for number in (1, 2, 3):
            Witness(broken, own_signer, utc_now, every=0)("default", number, "0" * 64)
    assert "could not be written" in caplog.text
    assert "pa55word" not in caplog.text
