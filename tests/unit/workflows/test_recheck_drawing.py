from milepost.serving.recording.ids import new_ids
from milepost.workflows.serving.rechecking import is_drawn


def test_answers_are_drawn_by_their_ids_alone_and_a_larger_share_holds_the_smaller():
    ids = new_ids(20_000)
    some = {each for each in ids if is_drawn(each, 0.02)}
    more = {each for each in ids if is_drawn(each, 0.2)}
    assert some < more
    assert 0.015 < len(some) / len(ids) < 0.025
    assert not any(is_drawn(each, 0.0) for each in ids)
    assert all(is_drawn(each, 1.0) for each in ids)
