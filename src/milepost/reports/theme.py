"""How charts look: one palette, one font, one place where a chart becomes SVG or PNG.

Colours are Okabe and Ito's (2008) blue and vermilion, darkened until they reach a contrast of
4.5 on white, beside greys. Every colour has a partner for dark pages; the page's style sheet
exchanges them, so that one SVG serves both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first is built into the renderer; the others have the same widths."""
WIDTH = 520
"""Width of a chart's drawing in pixels."""

INK = "#1c2733"
MUTED = "#5d6875"
RULE = "#dfe4e9"
OTHER = "#8b96a3"
ACCENT = "#0067ac"
WARM = "#b8480f"
BAND = "#cfe3f3"
PAPER = "#ffffff"

DARK = {
    INK: "#e8edf2",
    MUTED: "#a3afbb",
    RULE: "#333e49",
    OTHER: "#7f8b98",
    ACCENT: "#56b4e9",
    WARM: "#f08a4b",
    BAND: "#1d3f57",
    PAPER: "#161d25",
}
"""Partner of each colour on a dark page."""

TITLE_SIZE = 14
LABEL_SIZE = 12
SMALL_SIZE = 11


def config() -> dict[str, object]:
    """The Vega-Lite configuration of every chart."""
    axis: dict[str, object] = {
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridColor": RULE,
        "gridWidth": 1,
        "labelColor": MUTED,
        "labelFontSize": SMALL_SIZE,
        "labelPadding": 6,
        "labelFlush": False,
        "titleColor": MUTED,
        "titleFontSize": SMALL_SIZE,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    }
    return {
        "font": FONT,
        "background": None,
        "padding": 6,
        "view": {"stroke": None},
        "axis": axis,
        "text": {"fontSize": LABEL_SIZE, "color": INK, "font": FONT},
        "title": {
            "anchor": "start",
            "frame": "bounds",
            "color": INK,
            "fontSize": TITLE_SIZE,
            "fontWeight": "bold",
            "subtitleColor": MUTED,
            "subtitleFontSize": SMALL_SIZE,
            "subtitlePadding": 5,
            "subtitleLineHeight": 15,
            "offset": 14,
        },
    }


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A drawn chart.

    Attributes:
        name: File name without its ending, such as ``quality-against-cost``.
        title: Its heading.
        description: What it shows, in words, for those who cannot see it.
        spec: Vega-Lite specification, data included.
    """

    name: str
    title: str
    description: str
    spec: Mapping[str, object]

    def svg(self) -> str:
        """SVG with a transparent background, in the colours for light pages."""
        import vl_convert

        drawn = vl_convert.vegalite_to_svg(
            dict(self.spec), vl_version=_version(), allowed_base_urls=[]
        )
        return drawn[drawn.index("<svg") :]

    def png(self, scale: float = 2.0) -> bytes:
        """PNG on white; ``scale`` 2 gives about 1,080 pixels across."""
        import vl_convert

        return vl_convert.vegalite_to_png(
            {**self.spec, "background": PAPER},
            vl_version=_version(),
            scale=scale,
            allowed_base_urls=[],
        )


def _version() -> str:
    """Newest Vega-Lite that the renderer brings along."""
    import vl_convert

    versions = vl_convert.get_vegalite_versions()
    return max(versions, key=lambda version: [int(part) for part in version.split(".")])


def dark_css(scope: str) -> str:
    """CSS that exchanges the palette within ``scope``, a selector."""
    rules = [
        f'{scope} [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    ]
    return "\n".join(rules)
