"""What ``milepost.toml`` says: where a workspace keeps things, and its settings."""

import re
import tomllib
from typing import Any, cast

import msgspec

from milepost._base.limits import Limits
from milepost._base.settings import Settings
from milepost.entities.errors import Problem, TaskFileError, WorkspaceError, nearest
from milepost.entities.serving import Guard, PassingRule, RecordingRule

FORMAT = 1
"""Version of the workspace layout that this code reads and writes."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``milepost.toml``.

    Attributes:
        format: Version of the workspace layout.
        encoder: ``embedded``, a folder (relative to the workspace) or a hub id; new contests are
            held with it.
        encoders: Where each encoder lies whose vectors a release reads, by its digest; left out,
            there is but the one. ``milepost migrate`` keeps it.
        ledger: SQLAlchemy URL; a relative SQLite path is relative to the workspace.
        artifacts: Folder (relative to the workspace) or fsspec URL.
        checkpoints: Folder (relative to the workspace) or fsspec URL where signed checkpoints of
            the audit log are kept; best where nobody who can write the ledger can delete.
        signers: Public keys whose checkpoints are believed, as ``ed25519:…``; empty believes the
            key of whoever verifies.
        traces: Where served answers are recorded: ``ledger``, a folder (relative to the workspace)
            or an fsspec URL, where Parquet files are kept by day.
        openlineage: File or HTTP address to which lineage events are sent; ``None`` sends none.
        settings: Numbers that a team may want to change.
        limits: What a server takes at most; left out, the defaults.
        passing: Guards and recording of what clients ask language models themselves through a
            server; left out, no guards, and what tasks keep that do not say.
    """

    format: int = FORMAT
    encoder: str = "embedded"
    ledger: str = "sqlite:///.milepost/ledger.db"
    artifacts: str = ".milepost/artifacts"
    checkpoints: str = ".milepost/checkpoints"
    signers: tuple[str, ...] = ()
    traces: str = "ledger"
    openlineage: str | None = None
    encoders: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    settings: Settings = Settings()
    limits: Limits | msgspec.UnsetType = msgspec.UNSET
    passing: PassingRule | msgspec.UnsetType = msgspec.UNSET


def parse_configuration(text: str, file: str) -> Configuration:
    """The configuration that TOML text describes.

    Raises:
        TaskFileError: If it is not TOML, or a field is unknown or has the wrong type.
        WorkspaceError: If a newer milepost wrote it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what = f"this is not valid TOML: {error}."
        raise TaskFileError([Problem(file=file, line=None, field="", what=what)]) from error
    written = data.get("format", FORMAT)
    if isinstance(written, int) and written > FORMAT:
        raise WorkspaceError(
            f"this workspace has format {written}; this milepost reads up to {FORMAT}.",
            where=file,
            advice="Upgrade milepost: pip install --upgrade milepost.",
        )
    try:
        return msgspec.convert(data, Configuration)
    except msgspec.ValidationError as error:
        raise TaskFileError([_problem(str(error), text, file)]) from error


_TABLES: dict[str, type[msgspec.Struct]] = {
    "settings": Settings,
    "limits": Limits,
    "passing": PassingRule,
    "passing.guards": Guard,
    "passing.answer_guards": Guard,
    "passing.recording": RecordingRule,
}


def _problem(message: str, text: str, file: str) -> Problem:
    what, _, place = message.partition(" - at ")
    field = place.strip("`$.")
    advice = ""
    if "unknown field" in what:
        name = what.rsplit("`", 2)[-2]
        table = _TABLES.get(re.sub(r"\[.*", "", field), Configuration)
        allowed = table.__struct_fields__
        near = nearest(name, allowed)
        advice = (f"Did you mean {near!r}? " if near else "") + f"Allowed: {', '.join(allowed)}."
        field = f"{field}.{name}".strip(".")
        what = "there is no such field."
    last = field.rsplit(".", 1)[-1]
    numbered = enumerate(text.splitlines(), start=1)
    line = next((n for n, row in numbered if last and row.strip().startswith(last)), None)
    return Problem(file=file, line=line, field=field, what=what, advice=advice)


def dump_configuration(configuration: Configuration) -> str:
    """TOML text of a configuration; settings that have their default are left as comments."""
    plain = cast("dict[str, Any]", msgspec.to_builtins(configuration))
    settings = cast("dict[str, Any]", plain.pop("settings"))
    limits = cast("dict[str, Any]", plain.pop("limits", {}))
    passing = cast("dict[str, Any]", plain.pop("passing", {}))
    lines = [
        f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
        for key, value in plain.items()
    ]
    lines += ["", "[settings]"]
    defaults = cast("dict[str, Any]", msgspec.to_builtins(Settings()))
    for key, value in settings.items():
        mark = "# " if value == defaults[key] else ""
        if value is None:
            lines.append(f"# {key} is not set")
        else:
            lines.append(f"{mark}{key} = {_toml(value)}")
    for name, table in (("limits", limits), ("passing", passing)):
        if table:
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return f"{{{', '.join(f'{k} = {_toml(v)}' for k, v in pairs if v is not None)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in cast('list[object]', value))}]"
    if isinstance(value, str | bool):
        return msgspec.json.encode(value).decode()
    return repr(value)
