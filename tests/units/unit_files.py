"""Reading unit files: sections, keys, and every value of a key that may stand more than once."""

from __future__ import annotations

from pathlib import Path

SYSTEMD = Path(__file__).parents[2] / "systemd"
JOBS = (
    "backtest",
    "data-sync",
    "data-validation",
    "sentiment-macro",
    "backup",
    "restore-test",
    "compact",
)


def keys(path: Path) -> dict[str, list[str]]:
    """Return key → values of a unit file, over all its sections (no key of ours stands in two)."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def unit(name: str) -> dict[str, list[str]]:
    """Return the keys of one of our units."""
    return keys(SYSTEMD / name)
