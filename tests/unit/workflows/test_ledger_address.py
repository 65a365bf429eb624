"""The ledger's address in milepost.toml: read, replaced, and kept free of passwords."""

import tomllib
from pathlib import Path

import pytest

from milepost.entities.configuration import Configuration, dump_configuration
from milepost.entities.errors import InputError, WorkspaceError
from milepost.workflows.ledger_address import ledger_url, refuse_password, with_places
from milepost.workflows.new_folder import new_folder

ROOT = Path("/work space")


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("sqlite:///.milepost/x.db", f"sqlite:///{ROOT}/.milepost/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:${WORD}@host/db", "postgresql://me:geheim@host/db"),
        ("${WHOLE}", "postgresql://x/y"),
        ("postgresql://me:$WORD@host/db", "postgresql://me:$WORD@host/db"),
    ],
)
def test_the_url_behind_an_address(written: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "geheim")
    monkeypatch.setenv("WHOLE", "postgresql://x/y")
    assert ledger_url(ROOT, written) == url


def test_a_variable_that_is_not_set() -> None:
    with pytest.raises(WorkspaceError, match="MILEPOST_NOT_SET"):
        ledger_url(ROOT, "postgresql://${MILEPOST_NOT_SET}@host/db")


@pytest.mark.parametrize(
    "written",
    [
        "sqlite:///a@b:c.db",
        "postgresql://host:5432/db",
        "postgresql://me@host/db?sslmode=require",
        "postgresql://me:@host/db",
        "postgresql://me:${WORD}@host:${PORT}/${DB}",
        "postgresql://me@/db?host=/run&password=${WORD}",
        "${WHOLE}",
    ],
)
def test_addresses_that_hold_no_password(written: str) -> None:
    refuse_password(written)


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://me:geheim@host/db",
        "postgresql://me:p%40ss%2Fword@host/db",
        "postgresql://me:p%40ssw0rdX@/three?host=/run",
        "postgresql://me:%24%7BWORD%7D@host/db",
        "postgresql://me:${WORD}x@host/db",
        "postgresql://me:${ONE}${TWO}@host/db",
        "postgresql://me@host/db?password=p%2540",
        "postgresql://me@host/db?pass%77ord=geheim",
        "postgresql://me@host/db?sslpassword=geheim",
        "postgresql://me:${WORD}@host/db?password=geheim",
    ],
)
def test_addresses_with_a_password_are_refused(written: str) -> None:
    with pytest.raises(InputError, match="holds a password") as told:
        refuse_password(written)
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        dump_configuration(Configuration()),
        "# only a comment\n",
        "[settings]\nfolds = 3\n",
        "ledger = 'sqlite:///a.db' # here\nsigners = [\n  'a',\n]\n[settings]\nfolds = 3 # few\n",
        'format = 1\nledger="sqlite:///\\"a.db"\n',
    ],
)
def test_another_ledger_in_the_same_file(text: str) -> None:
    address = 'postgresql://me:${WORD}@host/"db"\\1'
    changed = with_places(text, ledger=address)
    before, after = tomllib.loads(text), tomllib.loads(changed)
    assert after.pop("ledger") == address
    before.pop("ledger", None)
    assert after == before
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert comments == [line.partition("#")[2] for line in changed.splitlines() if "#" in line]
    assert with_places(changed, ledger=address) == changed


def test_a_line_that_is_not_understood() -> None:
    with pytest.raises(InputError):
        with_places('ledger = """\nsqlite:///a.db"""\n', ledger="sqlite://")


class TestNewFolder:
    def test_whole(self, tmp_path: Path) -> None:
        with new_folder(tmp_path / "a" / "b"):
            (tmp_path / "a" / "b" / "milepost.toml").write_text("")
        assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["milepost.toml"]

    def test_empty_after_an_error(self, tmp_path: Path) -> None:
        def failing() -> None:
            with new_folder(tmp_path / "new"):
                (tmp_path / "new" / "some").mkdir()
                (tmp_path / "new" / "some" / "file").write_text("x")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            failing()
        assert list((tmp_path / "new").iterdir()) == []

    def test_made_again_where_a_killed_process_left_it(self, tmp_path: Path) -> None:
        (tmp_path / ".unfinished").touch()
        (tmp_path / "tasks").mkdir()
        (tmp_path / "tasks" / "half.yaml").touch()
        with new_folder(tmp_path):
            assert [p.name for p in tmp_path.iterdir()] == [".unfinished"]
            (tmp_path / "milepost.toml").touch()
        assert [p.name for p in tmp_path.iterdir()] == ["milepost.toml"]

    @pytest.mark.parametrize("held", ["notes.txt", "milepost.toml"])
    def test_what_is_there_is_never_removed(self, tmp_path: Path, held: str) -> None:
        (tmp_path / held).write_text("mine")
        if held == "milepost.toml":
            (tmp_path / ".unfinished").touch()
        with pytest.raises(WorkspaceError), new_folder(tmp_path):
            pass
        assert (tmp_path / held).read_text() == "mine"
