"""Keys: where they are read, and that they are struck out of whatever is told."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import UpstreamError
from milepost.models.language.secrets import Secrets, hidden, secret

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
KEYS = st.text(LETTERS, min_size=20, max_size=60)


@given(KEYS, st.text(max_size=60), st.integers(0, 50), st.integers(8, 60), st.text(max_size=60))
def test_no_eight_characters_of_a_key_are_left(
    key: str, before: str, start: int, length: int, after: str
) -> None:
    text = hidden(before + key[start : start + length] + after + key, key)
    assert not any(key[n : n + 8] in text for n in range(len(key) - 7))


@given(st.text(alphabet="ABCDEFGH .,!", max_size=200), KEYS)
def test_words_without_the_key_are_left_alone(text: str, key: str) -> None:
    assert hidden(text, key) == text
    assert hidden(text, None) == text


def test_a_file_is_read_again_once_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first-key\n", encoding="utf-8")
    secrets = Secrets()
    assert secrets.read(f"file:{file}") == "first-key"
    file.write_text("the-second-key", encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert secrets.read(f"file:{file}") == "the-second-key"
    assert "second" not in repr(secrets)


def test_what_is_no_key_is_told_by_its_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "two words", "line\nbreak", "k" * 9_000, "caf\u00e9-key"):
        monkeypatch.setenv("BIG_KEY", value)
        with pytest.raises(UpstreamError, match="BIG_KEY") as caught:
            secret("env:BIG_KEY", upstream="big")
        assert caught.value.outcome == "no_key"
        assert not value or value not in str(caught.value)
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UpstreamError, match="holds no key"):
            secret(f"file:{place}")
    with pytest.raises(UpstreamError) as caught:
        secret("sk-live-0123456789")
    assert "sk-live" not in str(caught.value)
