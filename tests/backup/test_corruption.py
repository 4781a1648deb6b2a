"""A hundred seeded corruptions: none is ever kept as a good backup."""

from __future__ import annotations

from pathlib import Path

from backup_corruption import build_world, failed, one_run, summary

RUNS = 100
DATABASE_MB = 2
SEED = 1


def test_no_corruption_is_ever_kept_as_a_good_backup(tmp_path: Path) -> None:
    world = build_world(tmp_path, DATABASE_MB)
    verdicts = [one_run(world, tmp_path, seed) for seed in range(SEED, SEED + RUNS)]
    print(summary(verdicts))
    assert [verdict for verdict in verdicts if failed(verdict)] == []
    engaged = [verdict for verdict in verdicts if verdict.engaged]
    assert len(engaged) > 0.95 * RUNS, summary(verdicts)
    for place in ("database", "copy", "archive"):
        refused = [verdict for verdict in engaged if verdict.place == place and "refused" in verdict.outcome]
        assert len(refused) > 5, summary(verdicts)
