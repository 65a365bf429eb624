"""Large files with a JSON object per line, in parts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from milepost.data.load import columns_of, json_line
from milepost.data.streaming.parts import PART_CHARACTERS, Part, Read
from milepost.data.streaming.texts import encoded, text_of


def json_lines_file(file: BinaryIO, name: str, expect: Sequence[str], rows: int) -> Read:
    """JSON lines in parts; a part has the columns of its own rows.

    Args:
        file: Its bytes; can be read again.
        name: What to call it in messages.
        expect: Not needed: the columns have names.
        rows: Most rows of a part.
    """
    how = encoded(file)
    total = 0

    def parts() -> Iterator[Part]:
        nonlocal total
        total = 0
        kept: list[Mapping[str, object]] = []
        lines: list[int] = []
        size = 0
        with text_of(file, how, "\n") as text:
            for number, line in enumerate(text, start=1):
                if not line.strip():
                    continue
                kept.append(json_line(line, f"{name}:{number}"))
                lines.append(number)
                total += 1
                size += len(line)
                if len(kept) >= rows or size >= PART_CHARACTERS:
                    yield Part(columns_of(kept), lines)
                    kept, lines, size = [], [], 0
        yield Part(columns_of(kept), lines)

    return Read(typed=True, parts=parts, findings=lambda: how.findings, total=lambda: total)
