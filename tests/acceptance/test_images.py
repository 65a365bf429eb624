"""A task about images through the command line, Python and a server, from paths to answers."""

import base64
import csv
import re

import httpx
import pytest

import milepost as mp
from milepost.testing.colours import COLOURS, picture, write_colours


@pytest.fixture
def desk(milepost, environment, tmp_path_factory):
    """A workspace made from a CSV beside a folder of pictures, with a note to each."""
    from pathlib import Path

    encoder = write_colours(milepost.folder / "colours", Path(environment["MILEPOST_CACHE"]))
    (milepost.folder / "shots").mkdir()
    with (milepost.folder / "shots.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "note", "label"))
        for at in range(36):
            name = list(COLOURS)[at % 3]
            (milepost.folder / "shots" / f"{at}.png").write_bytes(picture(name, at))
            writer.writerow((f"shots/{at}.png", list(COLOURS)[at % 2], name))
    arguments = ("--from", "shots.csv", "--encoder", encoder.name, "--task", "colour")
    milepost.ok("init", "desk", "--image", "photo", *arguments)
    return milepost


def improve(milepost, workspace="desk"):
    strategies = ("--strategy", "zero_shot", "--strategy", "head_logistic",
                  "--strategy", "tfidf_linear")  # fmt: skip
    board = milepost.ok("-w", workspace, "improve", "colour", "--json", *strategies).json
    (task,) = board["tasks"]
    assert task["decision"] == "released"
    return {each["strategy"]: each for each in task["candidates"]}


def test_from_paths_to_answers(desk, is_valid):
    entered = improve(desk)
    assert entered["zero_shot"]["value"] == 1.0
    assert "reads words" in entered["tfidf_linear"]["error"]
    # What was brought in needs its files no more.
    uri = f"data:image/png;base64,{base64.b64encode(picture('blue', 99)).decode()}"
    answered = desk.ok("-w", "desk", "predict", "colour", "shots/1.png", uri, "--json").json
    is_valid(answered, "predict")
    assert [each["label"] for each in answered["predictions"]] == ["green", "blue"]
    out = desk.ok("-w", "desk", "predict", "colour", "--input", "shots.csv").out
    rows = list(csv.DictReader(out.splitlines()))
    assert all(row["label"] == row["input_label"] for row in rows)
    assert len({*(desk.folder / "desk" / "data" / "images").rglob("*.*")}) == 36
    ws = mp.Workspace.open(desk.folder / "desk")
    given = [picture("red", 77), {"photo": desk.folder / "shots" / "2.png"}]
    assert ws.predict("colour", given).answers == ("red", "blue")
    desk.ok("-w", "desk", "export", "colour", "out")
    loaded = mp.load_exported("out")
    assert loaded.predict(["shots/0.png", picture("green", 5)]).answers == ("red", "green")
    a_server_reads_data_uris_and_no_files(desk)


@pytest.mark.slow
def test_an_image_and_words(desk):
    arguments = ("--from", "shots.csv", "--encoder", "colours", "--task", "colour")
    desk.ok("init", "both", "--image", "photo", "--text", "note", *arguments)
    improve(desk, "both")
    pair = ("shots/4.png", "blue")
    shown = desk.ok("-w", "both", "predict", "colour", *pair).out
    assert "shots/4.png blue" in shown
    assert "green" in shown


def test_what_is_no_image_is_named_and_nothing_is_made(desk):
    with (desk.folder / "shots.csv").open("a") as file:
        file.write("shots.csv,red,red\n")
    refused = desk("init", "other", "--from", "shots.csv", "--image", "photo",
                   "--encoder", "colours")  # fmt: skip
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert "shots.csv:38, column 'photo'" in said
    assert "not an image" in said
    assert not (desk.folder / "other").exists()


def test_an_encoder_that_does_not_read_the_inputs_is_refused_everywhere(desk):
    """One of texts would encode the name that stands for an image, and be released with it."""
    asked = ("--from", "shots.csv", "--image", "photo", "--task", "colour")
    for encoder in ((), ("--encoder", "embedded"), ("--encoder", "nowhere")):
        refused = desk("init", "other", *asked, *encoder)
        assert refused.code == 2
        said = "no encoder 'nowhere'" if "nowhere" in encoder else "does not read images"
        assert said in refused.err
        assert not list((desk.folder / "other").glob("*"))
    file = desk.folder / "desk" / "tasks" / "colour.yaml"
    plain = [line for line in file.read_text().splitlines() if not line.startswith("encoder")]
    file.write_text("\n".join(["encoder: embedded", *plain]) + "\n")
    checked = desk("-w", "desk", "check")
    assert checked.code == 2
    assert "tasks/colour.yaml:1: encoder" in " ".join(checked.out.split())
    refused = desk("-w", "desk", "improve", "colour")
    assert refused.code == 2
    assert "the encoder 'embedded' does not read images" in " ".join(refused.err.split())


def ask(address, inputs):
    answer = httpx.post(f"{address}/v1/tasks/colour/predict", json={"inputs": inputs}, timeout=60)
    return answer.status_code, answer.json()


def a_server_reads_data_uris_and_no_files(desk):
    with desk.start("-w", "desk", "serve", "--insecure", "--port", "0") as server:
        try:
            found = (re.search(r"serves at (http\S+)", line) for line in server.stdout)
            address = next(each[1] for each in found if each)
            uri = f"data:image/png;base64,{base64.b64encode(picture('green', 50)).decode()}"
            status, answers = ask(address, [uri, {"photo": uri}])
            assert status == 200
            assert [each["label"] for each in answers["predictions"]] == ["green", "green"]
            for wrong in (str(desk.folder / "shots" / "1.png"), "data:image/png;base64,aGVsbG8="):
                status, refused = ask(address, [uri, {"photo": wrong}])
                assert status == 422
                assert "inputs[1].photo" in refused["error"]["message"]
            assert ask(address, [{"picture": uri}])[0] == 400
        finally:
            server.terminate()
