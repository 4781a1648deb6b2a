"""The hot tier: a directory of backups on the host's own disk, hourly for a day and daily for two weeks.

Other tiers take the same verified archives (or the raw copy) and have the same few operations.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from futures_agent.backup.archive import Manifest, read_manifest
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc, utc_text
from futures_agent.errors import AgentError, Refuse
from futures_agent.files import explain_os_error, make_directory, sync_directory
from futures_agent.settings import BackupSettings

TIER = "hot"
_NAME = re.compile(r"(?:db|files)_backup_(\d{4})(\d\d)(\d\d)(?:T(\d\d))?\.(?:db|tar)\.zst")
_WORK = ".partial"
_CLOCK_STEP_MS = HOUR_MS  # a backup from further ahead of now was dated by a clock that was wrong


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One backup of the database."""

    path: Path
    named_ms: int  # the hour or day in its name, ms UTC
    daily: bool
    size: int  # bytes on the disk
    manifest: Manifest | None
    fault: str | None = None  # why there is no manifest

    @property
    def name(self) -> str:
        return f"{TIER}/{self.path.name}"

    @property
    def taken_ms(self) -> int:
        """When it was made, ms UTC; of a damaged one what its name says."""
        return self.manifest.taken_ms if self.manifest is not None else self.named_ms

    def ahead_of(self, now_ms: int) -> bool:
        """Whether it is dated in the future: a clock was wrong when it was made, or is now."""
        return self.taken_ms > now_ms + _CLOCK_STEP_MS


def database_name(moment_ms: int, *, daily: bool) -> str:
    """Return `db_backup_20261120T14.db.zst`, or `db_backup_20261120.db.zst` for the daily one."""
    return f"db_backup_{_stamp(moment_ms, daily=daily)}.db.zst"


def files_name(moment_ms: int, *, daily: bool) -> str:
    """Return the name of the archive of files that belongs to the database's backup of that moment."""
    return f"files_backup_{_stamp(moment_ms, daily=daily)}.tar.zst"


def _stamp(moment_ms: int, *, daily: bool) -> str:
    text = utc_text(moment_ms)
    return text[:10].replace("-", "") + ("" if daily else text[10:13])


class HotTier:
    """The directory of hot backups.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def entries(self) -> list[Entry]:
        """Return all backups of the database, newest first; damaged ones say what is wrong."""
        found = []
        for path in self._files("db_backup_*.db.zst"):
            match = _NAME.fullmatch(path.name)
            assert match is not None
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue  # pruned since the directory was read
            manifest, fault = None, None
            try:
                manifest = read_manifest(path)
            except AgentError as error:
                fault = str(error)
            found.append(
                Entry(
                    path=path,
                    named_ms=_moment(match),
                    daily=match[4] is None,
                    size=size,
                    manifest=manifest,
                    fault=fault,
                )
            )
        return sorted(found, key=lambda entry: (entry.taken_ms, not entry.daily), reverse=True)

    def newest(self, now_ms: int) -> Entry | None:
        """Return the newest good backup that is not dated in the future."""
        good = (entry for entry in self.entries() if entry.manifest is not None)
        return next((entry for entry in good if not entry.ahead_of(now_ms)), None)

    def find(self, name: str) -> Path:
        """Return the backup that a person named: `hot/NAME`, `NAME` or a path."""
        bare = name.removeprefix(f"{TIER}/")
        for path in (self.directory / bare, Path(name)):
            if path.is_file():
                return path
        raise Refuse(f"{name}: no such backup; `agentctl backups` lists those there are")

    def start_work(self) -> Path:
        """Return an empty directory for what is being made; whatever a killed run left there is removed."""
        work = self.directory / _WORK
        make_directory(work)
        self.end_work()
        return work

    def end_work(self) -> None:
        """Remove what was being made."""
        work = self.directory / _WORK
        try:
            for leftover in work.iterdir():
                leftover.unlink()
        except OSError as error:
            raise explain_os_error(error, work) from None

    def keep(self, made: Path, name: str) -> None:
        """Give a verified file its final name; an older one of that name is replaced."""
        try:
            os.replace(made, self.directory / name)
            sync_directory(self.directory)
        except OSError as error:
            raise explain_os_error(error, self.directory / name) from None

    def keep_again(self, name: str, second: str) -> None:
        """Keep the file `name` under a second name too; it takes no more space."""
        link = self.directory / _WORK / second
        try:
            os.link(self.directory / name, link)
        except OSError as error:
            raise explain_os_error(error, link) from None
        self.keep(link, second)

    def prune(self, settings: BackupSettings, now_ms: int, proven: set[str]) -> list[str]:
        """Remove what is past its retention; return the names.

        Never removed: the newest `keep_at_least` good backups, and the newest that was proven to restore
        (`proven` holds the digests of those). Backups dated in the future count for neither.
        """
        good = [
            (entry.path.name, entry.manifest)
            for entry in self.entries()
            if entry.manifest is not None and not entry.ahead_of(now_ms)
        ]
        moments = dict.fromkeys(manifest.taken_ms for _, manifest in good)  # a daily one is an hourly one too
        trusted = [manifest.taken_ms for _, manifest in good if manifest.sha256 in proven]
        kept = {*list(moments)[: settings.keep_at_least], *trusted[:1]}
        spared = {name for name, manifest in good if manifest.taken_ms in kept}
        spared |= {name.replace("db_", "files_").replace(".db.", ".tar.") for name in spared}
        removed = []
        matches = [(path, _NAME.fullmatch(path.name)) for path in self._files("*_backup_*.zst")]
        found = [(path, match) for path, match in matches if match is not None]
        ages = _lived_ms({_moment(match) for _, match in found}, now_ms)
        for path, match in found:
            if path.name in spared or not _expired(match, settings, ages):
                continue
            try:
                path.unlink()
            except OSError as error:
                raise explain_os_error(error, path) from None
            removed.append(path.name)
        return removed

    def _files(self, pattern: str) -> list[Path]:
        return [path for path in sorted(self.directory.glob(pattern)) if _NAME.fullmatch(path.name)]


def _moment(match: re.Match[str]) -> int:
    year, month, day, hour = match.groups(default="00")
    return parse_utc(f"{year}-{month}-{day}T{hour}:00")


def _lived_ms(moments: set[int], now_ms: int) -> dict[int, int]:
    """Return how old a backup of each moment is, where a time without any backup counts one day at most.

    A clock that jumps ahead thus ages what there is by a day, however far it jumps; what is dated in the
    future has no age.
    """
    ages: dict[int, int] = {}
    age_ms, later_ms = 0, now_ms
    for moment in sorted((moment for moment in moments if moment <= now_ms), reverse=True):
        age_ms += min(later_ms - moment, DAY_MS)
        ages[moment] = age_ms
        later_ms = moment
    return ages


def _expired(match: re.Match[str], settings: BackupSettings, ages: dict[int, int]) -> bool:
    hourly = match[4] is not None
    kept_ms = settings.keep_hourly_h * HOUR_MS if hourly else settings.keep_daily_days * DAY_MS
    return ages.get(_moment(match), 0) > kept_ms
