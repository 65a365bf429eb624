"""Lineages as trees and drawings: nothing overlaps, nothing sticks out, nothing is broken."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.lineage import Edge, Lineage, Move, Node
from milepost.reports.lineage.layout import Size, place_boxes
from milepost.reports.lineage.picture import DRAWN, lineage_html, lineage_png, lineage_svg, newest
from milepost.reports.lineage.tree import DIGITS, MOVES_SHOWN, lineage_document
from milepost.reports.placing import text_width

AT = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script> & \"quoted\" \x00\x1b[31m \u202egnp.exe"
SVG = "{http://www.w3.org/2000/svg}"


def digest(seed: object) -> str:
    return sha256(str(seed).encode()).hexdigest()


def made_up(releases: int = 5, files: int = 3, name: str = "route", words: str = "") -> Lineage:
    """A lineage of so many releases, each of a contest of its own, the newest in production."""
    nodes, edges = [], []
    for i in range(files):
        nodes.append(Node(id=f"file:{i}", kind="file", name=f"data/{name}{i}.csv",
                          digest=digest(i), words="1,100 rows", warning=words))  # fmt: skip
    nodes.append(Node(id="snapshot:1", kind="snapshot", name=f"examples of {name}",
                      digest=digest("s"), words="3,300 rows, 3,000 labelled, 8 labels",
                      facts={"role": "examples"}))  # fmt: skip
    nodes.append(Node(id="task:1", kind="task", name=f"{name} version 1", digest=digest("t")))
    nodes.append(Node(id="code:1", kind="code", name="milepost 0.1.0"))
    edges += [(f"file:{i}", "snapshot:1", "read into") for i in range(files)]
    for n in range(1, releases + 1):
        contest, candidate, bundle = f"contest:c{n}", f"candidate:{n}", f"bundle:{n}"
        nodes += [
            Node(id=contest, kind="contest", name=f"contest c{n:012x}",
                 facts={"verdict": "released", "regime": "cross_fitted", "seed": 0}),
            Node(id=candidate, kind="candidate", name="head_closed_form" + words,
                 words="macro F1 0.674 [0.65, 0.70]", facts={"metric": "macro_f1"}),
            Node(id=bundle, kind="bundle", name="bundle", digest=digest(bundle)),
            Node(id=f"release:{n}", kind="release", name=f"release {n}", digest=digest(("r", n)),
                 at=AT + timedelta(days=n), actor="ann" + words,
                 facts={"task": name, "number": n, "strategy": "head", "contest": f"c{n}",
                        "bundle": digest(bundle),
                        "channels": ["production"] if n == releases else []}),
        ]  # fmt: skip
        edges += [
            ("snapshot:1", contest, "trained on"), ("task:1", contest, "asked by"),
            ("code:1", contest, "run by"), (contest, candidate, "chosen in"),
            (candidate, bundle, "stored as"), (bundle, f"release:{n}", "released as"),
            (f"release:{n}", "channel:1", "runs in" if n == releases else "ran in"),
        ]  # fmt: skip
    nodes.append(Node(id="channel:1", kind="channel", name=f"{name}@production",
                      words=f"at release {releases}", at=AT, actor="ann"))  # fmt: skip
    order = ("file", "snapshot", "task", "code", "contest", "candidate", "bundle", "release",
             "channel")  # fmt: skip
    nodes.sort(key=lambda node: order.index(node.kind))
    moves = tuple(
        Move(task=name, channel="production", at=AT, actor="ann", before=n - 1 or None, after=n,
             reason=f"it is better {words}")
        for n in range(1, releases + 1)
    )  # fmt: skip
    return Lineage(
        subject=name,
        focus=tuple(f"release:{n}" for n in range(1, releases + 1)),
        nodes=tuple(nodes),
        edges=tuple(Edge(source=a, target=b, relation=r) for a, b, r in edges),
        moves=moves,
    )


sizes = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.builds(
        Size,
        layer=st.integers(0, 4),
        width=st.floats(20, 200),
        height=st.floats(10, 90),
    ),
    min_size=1,
    max_size=25,
)


@given(sizes=sizes, data=st.data())
def test_boxes_never_overlap_and_begin_at_the_corner(sizes, data) -> None:
    names = sorted(sizes)
    ends = st.sampled_from(names)
    edges = data.draw(st.lists(st.tuples(ends, ends), max_size=40))
    placed = place_boxes(sizes, edges, across=40, down=12)
    assert set(placed) == set(sizes)
    assert min(place.top for place in placed.values()) == pytest.approx(0)
    assert min(place.left for place in placed.values()) == 0
    for one, other in combinations(placed.values(), 2):
        beside = one.right + 40 <= other.left + 1e-6 or other.right + 40 <= one.left + 1e-6
        above = (
            one.top + one.height + 12 <= other.top + 1e-6
            or other.top + other.height + 12 <= one.top + 1e-6
        )
        assert beside or above


@pytest.mark.parametrize(("releases", "files"), [(1, 1), (5, 3), (12, 4), (40, 2)])
def test_every_text_stays_in_its_box_and_every_box_in_the_drawing(releases, files) -> None:
    root = ET.fromstring(lineage_svg(made_up(releases, files)))  # noqa: S314 — our own
    width, height = float(root.get("width")), float(root.get("height"))
    group = root.find(f"{SVG}g")
    left, top = (float(v) for v in re.findall(r"[\d.]+", group.get("transform")))
    boxes = [
        tuple(float(each.get(name)) for name in ("x", "y", "width", "height"))
        for each in group.iter(f"{SVG}rect")
    ]
    for x, y, wide, high in boxes:
        assert left + x >= 0
        assert left + x + wide <= width
        assert top + y >= 0
        assert top + y + high <= height
    for text in group.iter(f"{SVG}text"):
        x, y, size = (float(text.get(name)) for name in ("x", "y", "font-size"))
        end = x + text_width(text.text or "", size)
        assert left + end <= width, text.text
        inside = [b for b in boxes if b[0] <= x <= b[0] + b[2] and b[1] <= y <= b[1] + b[3]]
        for box in inside:
            assert end <= box[0] + box[2], text.text


def test_hostile_names_are_drawn_as_text() -> None:
    lineage = made_up(2, 2, name="route" + HOSTILE, words=HOSTILE)
    svg = lineage_svg(lineage)
    ET.fromstring(svg)  # noqa: S314 — our own
    page = lineage_html(lineage)
    for text in (svg, page):
        assert "<script" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_only_the_newest_releases_are_drawn_and_that_is_said() -> None:
    lineage = made_up(40)
    drawn = newest(lineage)
    assert len(drawn.of_kind("release")) == DRAWN
    assert {node.name for node in drawn.of_kind("release")} == {
        f"release {n}" for n in range(29, 41)
    }
    assert len(drawn.of_kind("contest")) == DRAWN
    assert drawn.of_kind("file")
    assert f"{DRAWN} of 40 releases are drawn." in lineage_svg(lineage)
    assert newest(made_up(3)) == made_up(3)


def test_a_png_is_one() -> None:
    assert lineage_png(made_up(2, 1)).startswith(b"\x89PNG")


def test_a_page_asks_for_nothing_from_outside() -> None:
    page = lineage_html(made_up())
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "<figure><svg" in page


@pytest.mark.parametrize("releases", [1, 5])
def test_the_terminal_shows_it_in_80_columns(releases) -> None:
    text = lineage_document(made_up(releases)).plain()
    assert max(map(len, text.splitlines())) <= 80
    assert "★" in text
    assert "it is better" in text


def test_a_tree_names_what_it_showed_before_only_once() -> None:
    lineage = made_up(2)
    whole = Lineage(
        subject="data/route0.csv", focus=("file:0",), nodes=lineage.nodes, edges=lineage.edges,
        moves=lineage.moves,
    )  # fmt: skip
    text = lineage_document(whole).plain()
    assert text.count("at release 2") == 1
    assert "as above" in text
    assert "★ route#2" in text
    assert digest(0)[:DIGITS] in text


def test_many_moves_are_cut_and_that_is_said() -> None:
    text = lineage_document(made_up(MOVES_SHOWN + 3)).plain()
    assert "3 earlier ones left out" in text


def test_plain_letters_serve_where_there_are_no_others() -> None:
    text = lineage_document(made_up(1)).plain(ascii_only=True)
    assert text.isascii()
    assert "?" not in text
