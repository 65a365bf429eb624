"""Where the encoders of a workspace lie: found by digest, also when the file changes."""

import pytest

from milepost.entities.configuration import Configuration, dump_configuration, parse_configuration
from milepost.entities.errors import EncoderError, InputError
from milepost.entities.task import Task
from milepost.workflows.encoders import Encoders, Opened, places, require_encoder, require_readable
from milepost.workflows.ledger_address import with_places

A, B = "a" * 64, "b" * 64


def opener(calls):
    def open_(spec):
        calls.append(spec)
        return Opened(
            encoder=lambda: spec, bare_encoder=lambda: spec, trunk=lambda v: v, weights=lambda: None
        )

    return open_


@pytest.fixture
def written(tmp_path):
    file = tmp_path / "milepost.toml"
    file.write_text(dump_configuration(Configuration(encoders={A: "embedded"})))
    return file


def test_an_encoder_is_found_by_its_digest_and_opened_once(written):
    calls: list[str] = []
    configuration = parse_configuration(written.read_text(), written.name)
    encoders = Encoders(written, configuration, opener(calls))
    own = encoders.open("embedded")
    assert encoders.find(A) is own
    assert encoders.find(B) is None
    assert calls == ["embedded"]


def test_one_that_comes_later_is_found_in_the_file_as_it_is_then(written):
    encoders = Encoders(written, Configuration(), opener([]))
    assert encoders.find(B) is None
    text = with_places(written.read_text(), encoder="models/b", encoders={A: "embedded", B: "b"})
    written.write_text(text)
    assert encoders.find(B).encoder() == "b"
    written.write_text("this is = = no TOML")
    assert encoders.find(A).encoder() == "embedded"  # what was read before still holds
    written.unlink()
    assert encoders.find("c" * 64) is None


def test_what_is_noted_holds_for_this_process_alone(written):
    encoders = Encoders(written, Configuration(), opener([]))
    encoders.note(B, "models/b")
    assert encoders.find(B).encoder() == "models/b"
    assert "models/b" not in written.read_text()


def test_the_line_is_written_and_replaced_and_comments_stay():
    text = dump_configuration(Configuration()) + "# mine\n"
    once = with_places(text, encoders={A: "embedded"})
    twice = with_places(once, encoder="org/name", encoders={A: "embedded", B: 'a "b"'})
    assert twice.endswith("# mine\n")
    found = parse_configuration(twice, "milepost.toml")
    assert (found.encoder, places(found)) == ("org/name", {A: "embedded", B: 'a "b"'})
    assert twice.count("encoders") == 1


@pytest.mark.parametrize(
    ("inputs", "read", "lacking"),
    [
        ({"photo": "image"}, ("string",), "images"),
        ({"photo": "image", "note": "string"}, ("string",), "images"),
        ({"photo": "image", "note": "string"}, ("image",), "texts"),
        ({"text": "string"}, ("image",), "texts"),
        ({"photo": "image"}, ("image",), None),
        ({"photo": "image"}, ("image", "string"), None),
        ({"photo": "image", "note": "string"}, ("image", "string"), None),
        ({"text": "string"}, ("string",), None),
    ],
)
def test_an_encoder_must_read_each_input(inputs, read, lacking):
    task = Task(name="things", inputs=inputs)
    if lacking is None:
        require_readable(task, read)
        return
    with pytest.raises(EncoderError, match=f"does not read {lacking}") as caught:
        require_readable(task, read)
    assert caught.value.where == "tasks/things.yaml: encoder"
    assert "encoder: " in caught.value.advice


def test_another_encoder_is_refused_with_what_to_write():
    require_encoder(A, A)
    with pytest.raises(InputError, match="encoders = "):
        require_encoder(A, B, "release")
