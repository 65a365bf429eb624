import os
from pathlib import Path

import pytest

from milepost._base.settings import Settings
from milepost.data.read import read_task
from milepost.entities.task import DataFiles, Task

ROOT = Path(
    os.environ.get("MILEPOST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no benchmark data at {ROOT} (MILEPOST_DATA)"),
]


def read(folder, examples="train"):
    files = DataFiles(examples=f"{folder}/{examples}.parquet", test=f"{folder}/test.parquet")
    data = read_task(Task(name="t", data=files), Settings(), root=ROOT)
    return data, {f.check: f for f in data.examples.quality.findings}


def leaked_test_rows(data):
    groups = {data.examples.examples.groups[i] for i in data.sides.rows("leak")}
    return [i for i, group in enumerate(data.test.examples.groups) if group in groups]


def test_tweeteval_hate_leaks_and_conflicts():
    data, found = read("tweeteval_hate")
    train = set(data.examples.examples.texts)
    word_for_word = [i for i, t in enumerate(data.test.examples.texts) if t in train]
    assert len(word_for_word) == 233
    assert set(word_for_word) <= set(leaked_test_rows(data))
    assert found["leaks"].count >= 232
    assert "another label there" in found["leaks"].summary
    assert found["conflicting_labels"].count >= 7
    assert found["empty_texts"].count == 7


def test_sms_spam_near_duplicates_beyond_the_published_split():
    _, found = read("sms_spam")
    assert found["exact_duplicates"].count == 362
    assert found["near_duplicates"].count >= 100
    assert found["leaks"].count >= 30  # the split is by hash of the text: none is word for word
    assert "(0 word for word" in found["leaks"].summary
    assert found["encoding_control"].count == 30


def test_amazon_counterfactual_extended_train_holds_the_test():
    data, found = read("amazon_counterfactual", "en_ext_train")
    train = set(data.examples.examples.texts)
    assert sum(text in train for text in data.test.examples.texts) == 308
    assert found["leaks"].count >= 308
    _, own = read("amazon_counterfactual")
    assert own["conflicting_labels"].count >= 26
    assert own["encoding_mojibake"].count == 1


def test_clinc150_has_few_leaks_and_no_invented_conflicts():
    _, found = read("clinc150")
    assert 2 <= found["leaks"].count <= 60
    assert "conflicting_labels" not in found
    assert "label_typos" not in found
