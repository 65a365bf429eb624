"""Parquet files of traces in a folder or at an fsspec address, by the days they begin and end.

``answered=DATE/expires=DATE/FIRST-LAST.parquet``: which file holds a trace follows from its id, and
what has expired is removed without reading it. The folders are named as other tools read them
(Hive partitions).
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from milepost.entities.errors import CorruptError, StorageError
from milepost.entities.serving import Trace
from milepost.serving.recording.ids import day_of
from milepost.storage.files.digest_files import explained
from milepost.storage.proof.places import LocalPlace, Place, open_place

_NAME = re.compile(r"(t[0-9a-f]{32})-(t[0-9a-f]{32})\.parquet")
_DAY = timedelta(days=1)


class Line(msgspec.Struct, frozen=True):
    """A trace as one row: what is searched, the input, and the rest as JSON.

    Attributes:
        record: The trace as JSON, without its text.
    """

    id: str
    task: str
    release: int
    channel: str
    at: datetime
    expires: datetime
    label: str | None
    confidence: float | None
    abstained: bool
    key: str | None
    text: str | None
    record: str

    def trace(self) -> Trace:
        """The trace."""
        return _whole(self.record, self.text, self.id)


class Segment(NamedTuple):
    """One file.

    Attributes:
        name: Its path below the place.
        first: Smallest id in it.
        last: Largest id in it.
        expires: Day on which its traces expire, UTC.
    """

    name: str
    first: str
    last: str
    expires: date


class Segments:
    """The Parquet files at one place. Thread safe.

    Args:
        place: A folder, or any address that fsspec knows.

    Raises:
        WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
        StorageError: If a server that is asked at once does not answer.
    """

    def __init__(self, place: str | Path) -> None:
        self._place: Place = open_place(place)
        self.label = self._place.label

    def add(self, lines: Sequence[Line], encoded: Sequence[bytes]) -> None:
        """Keep rows in as many files as they have days; rows that were kept so before are left.

        Args:
            lines: Rows, each id once.
            encoded: The same rows as JSON.
        """
        groups: dict[tuple[str, str], list[int]] = {}
        for row, line in enumerate(lines):
            days = (day_of(line.id), f"{line.expires.astimezone(UTC):%Y-%m-%d}")
            groups.setdefault(days, []).append(row)
        for (answered, expires), rows in groups.items():
            ids = sorted(lines[row].id for row in rows)
            name = f"answered={answered}/expires={expires}/{ids[0]}-{ids[-1]}.parquet"
            ordered = sorted(rows, key=lambda row: lines[row].id)
            self._place.create(name, _parquet([encoded[row] for row in ordered]))

    def days(self) -> list[str]:
        """Days of which there are answers, ``YYYY-MM-DD``, newest first."""
        return sorted(_values("answered", self._place.names("")), reverse=True)

    def of_day(self, answered: str) -> list[Segment]:
        """The files with the answers of a day, those with the largest ids first."""
        found: list[Segment] = []
        folder = f"answered={answered}"
        for expires in _values("expires", self._place.names(folder)):
            inner = f"{folder}/expires={expires}"
            for name in self._place.names(inner):
                if (parts := _NAME.fullmatch(name)) is not None:
                    day = date.fromisoformat(expires)
                    found.append(Segment(f"{inner}/{name}", parts[1], parts[2], day))
        return sorted(found, key=lambda segment: segment.last, reverse=True)

    def traces(self, segment: Segment, id: str | None = None, **equal: object) -> Iterator[Trace]:  # noqa: A002 - the record's own word
        """Traces of a file that have not expired by ``equal['after']``, or the one of an id.

        Args:
            segment: Which; one that was removed meanwhile is empty.
            id: Only this one.
            **equal: Columns and what they must hold; ``after`` is the moment that ``expires`` must
                lie behind.
        """
        import pyarrow.parquet as parquet

        data = self._bytes(segment.name)
        if data is None:
            return
        after = cast("datetime", equal.pop("after"))
        if id is not None:
            equal["id"] = id
        try:
            file = cast("Any", parquet).ParquetFile(io.BytesIO(data))
            for group in range(file.num_row_groups):
                # Not `read`, nor `to_pylist` of a whole table: they would import pandas.
                columns = [*equal, "expires"]
                read = file.read_row_group(group, columns=columns)
                held = {name: read.column(name).to_pylist() for name in columns}
                rows = [
                    row
                    for row, expires in enumerate(held["expires"])
                    if expires > after and all(held[name][row] == equal[name] for name in equal)
                ]
                if rows:
                    rest = file.read_row_group(group, columns=["id", "text", "record"])
                    wanted = [
                        rest.column(name).take(rows).to_pylist() for name in rest.column_names
                    ]
                    yield from (
                        _whole(record, text, each)
                        for each, text, record in zip(*wanted, strict=True)
                    )
        except (OSError, ValueError, KeyError) as error:
            raise CorruptError(
                f"a file of traces cannot be read: {error}.",
                where=f"{self.label}/{segment.name}",
                advice="Remove it, or restore it from a copy.",
            ) from error

    def expire(self, now: datetime, most: int) -> bool:
        """Remove files whose last day is over; whether that were ``most`` of them."""
        removed = 0
        for day in reversed(self.days()):
            for segment in self.of_day(day):
                end = datetime(*segment.expires.timetuple()[:3], tzinfo=UTC) + _DAY
                if end > now:
                    continue
                if removed == most:
                    return True
                self._remove(segment.name)
                removed += 1
        return False

    def _bytes(self, name: str) -> bytes | None:
        place = self._place
        with explained(place.label):
            try:
                if isinstance(place, LocalPlace):
                    return (place.root / name).read_bytes()
                return cast("Any", place).system.cat_file(f"{cast('Any', place).root}/{name}")
            except FileNotFoundError:
                return None
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - each protocol has errors of its own
                raise _unreachable(place.label, error) from None

    def _remove(self, name: str) -> None:
        place = self._place
        with explained(place.label), suppress(FileNotFoundError):
            if isinstance(place, LocalPlace):
                path = place.root / name
                path.unlink()
                for folder in (path.parent, path.parent.parent):
                    with suppress(OSError):
                        folder.rmdir()  # one that is not empty stays
                return
            try:
                cast("Any", place).system.rm_file(f"{cast('Any', place).root}/{name}")
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                raise _unreachable(place.label, error) from None


def _unreachable(label: str, error: Exception) -> StorageError:
    return StorageError(
        f"the store of traces cannot be reached ({type(error).__name__}).",
        where=label,
        advice="Look at the address and at its credentials.",
    )


def _parquet(lines: Sequence[bytes]) -> bytes:
    """A Parquet file of rows that are there as JSON; read by pyarrow without a Python object."""
    import pyarrow as arrow
    import pyarrow.json as reader
    import pyarrow.parquet as parquet

    pa, text, moment = cast("Any", arrow), cast("Any", arrow).string(), cast("Any", arrow)
    at = moment.timestamp("us", "UTC")
    kinds: Mapping[str, Any] = {
        "id": text,
        "task": text,
        "release": pa.int64(),
        "channel": text,
        "at": at,
        "expires": at,
        "label": text,
        "confidence": pa.float64(),
        "abstained": pa.bool_(),
        "key": text,
        "text": text,
        "record": text,
    }
    # A block must hold the longest line.
    longest = max(map(len, lines))
    table = cast("Any", reader).read_json(
        io.BytesIO(b"\n".join(lines)),
        read_options=cast("Any", reader).ReadOptions(block_size=max(1 << 20, 2 * longest)),
        parse_options=cast("Any", reader).ParseOptions(explicit_schema=pa.schema(kinds.items())),
    )
    out = io.BytesIO()
    cast("Any", parquet).write_table(table, out, compression="zstd")
    return out.getvalue()


def _whole(record: str, text: str | None, id: str) -> Trace:  # noqa: A002 - the record's own word
    try:
        trace = msgspec.json.decode(record, type=Trace)
    except msgspec.DecodeError as error:
        raise CorruptError(f"a stored trace cannot be read: {error}.", where=id) from error
    return trace if text is None else msgspec.structs.replace(trace, text=text)


def _values(name: str, folders: Sequence[str]) -> list[str]:
    """The values of a partition among names of folders."""
    parts = (folder.partition("=") for folder in folders)
    return [value for key, _, value in parts if key == name]
