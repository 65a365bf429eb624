"""Bytes to text: byte-order marks, strict UTF-8, then a guess that is reported.

Knows nothing of tables.
"""

import codecs
import re

from milepost.data.wording import number_of
from milepost.entities.example import Finding

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 18
_LEGACY = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "shift_jis",
    "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip


def decode(data: bytes) -> tuple[str, tuple[Finding, ...]]:
    """Text of ``data`` and what had to be assumed to read it.

    In this order: a byte-order mark; strict UTF-8; UTF-8 that holds encoded lone surrogates; UTF-16
    without a mark (every other byte of the beginning is NUL); UTF-8 with a few broken bytes (at
    least ten good non-ASCII characters for each bad one); a guess among legacy encodings. Never
    raises: bytes that fit nothing become U+FFFD and are counted. Lone surrogates may remain.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], name)
    for errors in ("strict", "surrogatepass"):
        try:
            return data.decode("utf-8", errors), ()
        except UnicodeDecodeError:
            continue
    wide = _wide(data[:4096])
    if wide:
        return _lenient(data, wide)
    mended = data.decode("utf-8", "replace")
    bad = mended.count("\ufffd")
    if sum(1 for _ in re.finditer(r"[^\x00-\x7f\ufffd]", mended)) >= 10 * bad:
        return mended, (_replaced(bad, "UTF-8"),)
    return _guess(data)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark, seen by NULs in every other byte of mostly Latin text."""
    half = len(head) // 2
    if half and head[1::2].count(0) > 0.6 * half and head[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if half and head[::2].count(0) > 0.6 * half and head[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def _lenient(data: bytes, name: str) -> tuple[str, tuple[Finding, ...]]:
    try:
        return data.decode(name, "surrogatepass"), ()
    except UnicodeDecodeError:
        text = data.decode(name, "replace")
        return text, (_replaced(text.count("\ufffd"), name.upper()),)


def _replaced(n: int, name: str) -> Finding:
    return Finding(
        check="undecodable_bytes",
        severity="warning",
        count=n,
        summary=f"The file is {name}, but {number_of(n, 'place')} in it could not be decoded and "
        "became the replacement character (U+FFFD).",
    )


def mark_of(head: bytes) -> tuple[int, str] | None:
    """Length of the byte-order mark at the beginning, and the encoding that it stands for."""
    return next(((len(mark), name) for mark, name in _MARKS if head.startswith(mark)), None)


def encoding_of(sample: bytes) -> str:
    """Encoding of a text that is not UTF-8 throughout, by a part of it; as ``decode`` decides."""
    wide = _wide(sample[:4096])
    if wide:
        return wide
    mended = sample.decode("utf-8", "replace")
    good = sum(1 for _ in re.finditer(r"[^\x00-\x7f\ufffd]", mended))
    return "utf-8" if good >= 10 * mended.count("\ufffd") else _legacy(sample)


def misread(name: str, bad: int) -> Finding:
    """What is said of a text that was read as something else than UTF-8, or in part only.

    Args:
        name: The encoding.
        bad: Places that could not be decoded.
    """
    return _replaced(bad, name.upper()) if name.startswith("utf") else _guessed(name, bad)


def _guess(data: bytes) -> tuple[str, tuple[Finding, ...]]:
    name = _legacy(data)
    text = data.decode(name, "replace")
    return text, (_guessed(name, text.count("\ufffd")),)


def _legacy(data: bytes) -> str:
    """The legacy encoding that fits best."""
    from charset_normalizer import from_bytes

    # Lines with characters beyond ASCII decide; without the rest a small sample goes a long way.
    telling = b"\n".join(re.findall(rb"[^\n]*[\x80-\xff][^\n]*", data)[:2000])[:_SAMPLE]
    matches = from_bytes(telling, cp_isolation=_LEGACY, enable_fallback=False)
    best = matches.best()
    name = best.encoding if best else "cp1252"
    # Short western samples often fit several code pages equally well; cp1252 is what spreadsheets
    # write, so it wins ties.
    tied = [m.encoding for m in matches if best and m.chaos <= best.chaos]
    if best and "cp1252" in {*tied, *best.could_be_from_charset}:
        name = "cp1252"
    return name


def _guessed(name: str, bad: int) -> Finding:
    tail = f"; {number_of(bad, 'byte')} could not be decoded" if bad else ""
    return Finding(
        check="encoding_guessed",
        severity="warning" if bad else "note",
        count=bad or 1,
        summary=f"The file is not UTF-8 and was read as {name}{tail}. If accented letters look "
        "wrong, save the file as UTF-8.",
    )
