"""Pictures in front of the names of images, and nowhere else."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from milepost.reports import words
from milepost.reports.thumbnails import MOST, with_thumbnails

ONE = "image:" + "1a2b3c4d" + "0" * 56 + "." + "f" * 32
URI = "data:image/jpeg;base64,AAAA"


def test_names_take_the_place_of_what_stands_for_images():
    assert words.clean(f"{ONE} and more") == "image 1a2b3c4d and more"
    assert words.shorten(f"{ONE} \u241e {'word ' * 40}", 30) == "image 1a2b3c4d ↔ word word…"
    assert words.middle(ONE, 20) == "image 1a2b3c4d"


def test_a_picture_stands_before_each_name_that_is_known():
    page = "<p>image 1a2b3c4d, image 00000000</p>"
    seen = f'<img class="seen" src="{URI}" alt="">image 1a2b3c4d'
    shown = with_thumbnails(page, {"1a2b3c4d": URI}.get)
    assert shown == f"<p>{seen}, image 00000000</p>"


def test_drawings_and_attributes_keep_their_words():
    page = (
        '<title>image 1a2b3c4d</title><figure aria-label="image 1a2b3c4d">'
        "<svg><text>image 1a2b3c4d</text></svg></figure>"
    )
    assert with_thumbnails(page, lambda digits: URI) == page


def test_a_page_has_so_many_pictures_and_no_more():
    asked = []
    names = [f"{at:08x}" for at in range(MOST + 5)]

    def thumbnail(digits):
        asked.append(digits)
        return URI

    page = with_thumbnails("".join(f"<p>image {each}</p>" for each in names), thumbnail)
    assert page.count("<img") == len(asked) == MOST
    assert all(f"image {each}<" in page for each in names)


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.said, self.tags = [], []

    def handle_data(self, data):
        self.said.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


PIECES = st.sampled_from(
    ["image 1a2b3c4d", "<p>", "</p>", "a &lt; b", '<td title="a image 1a2b3c4d">', "</td>", "<br>",
     "<svg><text>image 1a2b3c4d</text></svg>", " "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12))
def test_nothing_but_pictures_is_added(pieces):
    page = "".join(pieces)
    shown = with_thumbnails(page, lambda digits: URI)
    assert re.sub(r'<img class="seen"[^>]*>', "", shown) == page
    before, after = Words(), Words()
    before.feed(page)
    after.feed(shown)
    assert "".join(after.said) == "".join(before.said)
    assert [tag for tag in after.tags if tag != "img"] == before.tags
