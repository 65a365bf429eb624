"""Which variant `milepost doctor --speed` chooses, what it says, and that it measures."""

from io import StringIO

import pytest
from rich.console import Console

from milepost.models.embedded import embedded_path
from milepost.reports.records import Speed, VariantSpeed
from milepost.reports.speed import speed_table
from milepost.workflows.speed import choose, measure_speed


def row(variant: str, rate: float, neighbours: float = 1e-8) -> VariantSpeed:
    return VariantSpeed(
        variant=variant,
        texts_per_second={12: rate, 128: rate / 10},
        all_cores=2 * rate,
        one_ms=1000 / rate,
        similarity=1.0 if variant == "fp32" else 0.9977,
        neighbours=neighbours,
    )


def shown(speed: Speed) -> str:
    out = StringIO()
    Console(width=80, file=out).print(speed_table(speed))
    return out.getvalue()


def test_integers_are_chosen_where_they_are_faster():
    choice, reason = choose([row("fp32", 800), row("int8", 1700)], "AVX512-VNNI")
    assert choice == "int8"
    assert "2.1 times" in reason
    assert "98.5 %" in reason
    assert "no instruction" not in reason


def test_the_reference_is_chosen_where_integers_gain_nothing():
    choice, reason = choose([row("fp32", 800), row("int8", 820)], "AVX2")
    assert choice == "fp32"
    assert 'serve_variant = "fp32"' in reason
    assert "no instruction that multiplies and adds small integers (AVX2)" in reason


def test_the_table_fits_eighty_columns_and_tells_a_broken_promise():
    rows = (row("fp32", 12345), row("int8", 45678, neighbours=0.02))
    choice, reason = choose(rows, "AVX2")
    speed = Speed(
        encoder="all-MiniLM-L6-v2", processor="A processor with quite a long name indeed",
        cores=128, instructions="AVX2", variants=rows, choice=choice, reason=reason,
    )  # fmt: skip
    text = shown(speed)
    assert max(map(len, text.splitlines())) <= 80
    assert "45,678 (3.7x)" in text
    assert "please report this" in text


@pytest.mark.slow
@pytest.mark.skipif(embedded_path() is None, reason="the embedded encoder is not installed")
def test_it_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("MILEPOST_CACHE", str(tmp_path))
    told: list[str] = []
    speed = measure_speed(lambda what, share: told.append(what), seconds=0.01)
    assert [each.variant for each in speed.variants] == ["fp32", "int8"]
    for each in speed.variants:
        assert min(each.texts_per_second.values()) > 0
        assert each.one_ms > 0
        assert each.neighbours < 1e-5
        assert each.similarity > 0.99
    assert speed.choice in {"fp32", "int8"}
    assert len(told) >= 6
