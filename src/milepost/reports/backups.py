"""Backups, restores and moves in words."""

from collections.abc import Sequence

from rich.table import Table

from milepost.entities.backup import BackupMade, BackupManifest, Restored, StoreMoved

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def backup_lines(made: BackupMade) -> list[str]:
    """What a backup came to."""
    manifest = made.manifest
    lines = [
        f"Made backup {manifest.id} in {made.place}",
        f"  {_content(manifest)}; {size(manifest.size)}, {size(made.added_bytes)} of it new.",
        f"  Every byte was read back. The audit log ends at {_heads(manifest)}.",
    ]
    if manifest.outside:
        lines.append(f"  Outside the workspace, and not in it: {', '.join(manifest.outside)}.")
    if made.cleaned:
        lines.append(f"  Removed what was broken off: {', '.join(made.cleaned)}.")
    return [*lines, f"Restore it with: milepost restore {made.place} NEW-FOLDER"]


def restored_lines(done: Restored) -> list[str]:
    """What a restore or a check came to."""
    manifest = done.manifest
    ends = f"audit log whole up to {_heads(manifest)}."
    if done.directory is None:
        return [f"Backup {manifest.id} is whole: {_content(manifest)}; {ends}"]
    lines = [
        f"Restored backup {manifest.id} to {done.directory}",
        f"  {_content(manifest)}; {ends}",
        f"  The ledger is {done.ledger}.",
    ]
    if done.migrated:
        lines.append(f"  Its tables were brought up to date from version {done.migrated}.")
    return lines


def moved_lines(moved: StoreMoved) -> list[str]:
    """What moving a ledger came to."""
    lines = [
        f"The ledger is now {moved.target}",
        f"  {_count(moved.rows, 'row')} of {len(moved.tables)} tables copied and compared.",
    ]
    if moved.kept:
        lines.append(f"  {moved.kept} is kept and takes no more writes; delete it when you like.")
    return lines


def backups_table(manifests: Sequence[BackupManifest]) -> Table:
    """A row per backup, oldest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("backup", "by", "audit log"):
        table.add_column(title, no_wrap=title == "backup", overflow="fold")
    for title in ("rows", "artifacts", "size"):
        table.add_column(title, justify="right")
    for each in manifests:
        table.add_row(
            each.id,
            each.actor,
            _heads(each),
            f"{each.rows:,}",
            f"{len(each.artifacts):,}",
            size(each.size),
        )
    return table


def size(count: int) -> str:
    """A number of bytes in the unit that leaves at most three digits before the point."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"


def _content(manifest: BackupManifest) -> str:
    parts = [_count(manifest.rows, "row"), _count(len(manifest.artifacts), "artifact")]
    if manifest.data:
        parts.append(_count(len(manifest.data), "data file"))
    return ", ".join(parts)


def _heads(manifest: BackupManifest) -> str:
    """Each tenant's last entry, its hash cut to 8 digits."""
    shown = [
        (f"{tenant} " if len(manifest.heads) > 1 else "") + head[: head.index(":") + 9]
        for tenant, head in sorted(manifest.heads.items())
    ]
    return ", ".join(shown) or "no entry"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
