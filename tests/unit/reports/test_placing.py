from hypothesis import given
from hypothesis import strategies as st

from milepost.reports.placing import Box, Mark, place_labels, text_width


def box_of(mark: Mark, place_x: float, place_y: float, align: str, size: float) -> Box:
    across = text_width(mark.text, size)
    left = {"left": place_x, "right": place_x - across, "center": place_x - across / 2}[align]
    return Box(left, place_y - size / 2, left + across, place_y + size / 2)


def test_ten_crowded_candidates_do_not_hide_each_other() -> None:
    marks = [
        Mark(200 + 4 * i, 60 + 6 * i, 40 + 6 * i, 80 + 6 * i, f"strategy_{i}") for i in range(10)
    ]
    places = place_labels(marks, 474, 270, 12)
    boxes = [
        box_of(mark, place.x, place.y, place.align, 10)
        for mark, place in zip(marks, places, strict=True)
    ]
    for i, one in enumerate(boxes):
        assert one.outside(474, 270) < 1
        assert all(one.overlap(other) == 0 for other in boxes[:i])


def test_a_lone_label_stands_right_of_its_point() -> None:
    (place,) = place_labels([Mark(100, 100, 90, 110, "alone")], 474, 270, 12)
    assert (place.align, place.y) == ("left", 100)


def test_a_label_at_the_right_edge_goes_left() -> None:
    (place,) = place_labels([Mark(470, 100, 90, 110, "at_the_edge")], 474, 270, 12)
    assert place.align == "right"


@given(st.text(max_size=40), st.text(max_size=40))
def test_widths_add_up(a: str, b: str) -> None:
    whole, parts = text_width(a + b, 12), text_width(a, 12) + text_width(b, 12)
    assert abs(whole - parts) < 1e-6
