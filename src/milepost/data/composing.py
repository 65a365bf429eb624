"""The inputs of rows: a cell each, or what several cells are composed to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from milepost.data.clean import Plain, as_text
from milepost.data.load import Table
from milepost.data.spans import joined_tokens
from milepost.entities.errors import DataError, InputError
from milepost.entities.inputs import Composition
from milepost.entities.kinds import Kind

ReadImage = Callable[[str, Path], str]
"""From a cell and the folder that its path starts from to the text that stands for the image."""


def inputs_in(
    table: Table,
    columns: Mapping[str, str],
    how: Composition | None,
    most: int,
    kind: Kind = "classify",
    image: ReadImage | None = None,
) -> Sequence[Plain]:
    """The input of each row of a table.

    Args:
        table: The rows.
        columns: Column of each input of the task.
        how: How several become one text; ``None`` where there is one. A row whose cells are all
            empty gives an empty text, and so does one that lacks an image.
        most: Most characters of all inputs of a row together; each may have an equal part.
        kind: Kind of the task: spans may be of tokens, which are joined by spaces.
        image: Reads the cells that are images.

    Raises:
        UnknownNameError: If a column is missing.
        DataError: If a cell should be an image and is none; names row and column.
    """
    cells = {name: table.column(column, "column") for name, column in columns.items()}
    if how is None:
        own = next(iter(cells.values()))
        return [joined_tokens(cell) for cell in own] if kind == "extract" else own
    part = most // len(cells)
    given = [
        image_column(table, column, image)
        if name in how.pictures
        else [as_text(cell)[:part] for cell in cells[name]]
        for name, column in columns.items()
    ]
    shown = [at for at, name in enumerate(columns) if name in how.pictures]
    return [
        how.text(dict(zip(cells, row, strict=True)))
        if any(map(str.strip, row)) and all(row[at] for at in shown)
        else ""
        for row in zip(*given, strict=True)
    ]


def image_column(table: Table, column: str, image: ReadImage | None) -> list[str]:
    """What stands for the images of a column; empty where a cell is.

    Raises:
        DataError: If a cell is no image; names row and column.
    """
    found: list[str] = []
    for row, cell in enumerate(table.column(column)):
        text = as_text(cell).strip()
        try:
            found.append(image(text, table.base) if text and image is not None else "")
        except InputError as error:
            said = f" ({error.where})" if error.where else ""
            raise DataError(
                f"{error.what.rstrip('.')}{said}.",
                where=f"{table.name}:{table.rows[row]}, column {column!r}",
                advice=error.advice,
            ) from error
    return found
