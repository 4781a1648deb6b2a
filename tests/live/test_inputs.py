"""Inputs of the live trader: read from the database, and remembered where it cannot be read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS, parse_utc
from futures_agent.live.inputs import StoredInputs
from futures_agent.settings.tree import DatabaseSettings
from futures_agent.store.database import open_writer
from futures_agent.store.sentiment import FUNDING, upsert_funding
from futures_agent.strategy.smc import STRATEGY

TIME_MS = parse_utc("2026-11-20T08:00Z")
PATIENCE = DatabaseSettings(busy_timeout_ms=50)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "crypto_agent.db"
    with closing(open_writer(path)) as db:
        upsert_funding(db, "AUSDT", np.array([(TIME_MS, 0.0001)], FUNDING))
    return path


def inputs(database: Path, **params: float) -> StoredInputs:
    return StoredInputs(database, PATIENCE, STRATEGY, STRATEGY.read_params(params))


def test_what_is_stored_is_known_and_what_is_switched_off_is_not_read(database: Path) -> None:
    used = inputs(database, funding_limit_bps=2.0)
    assert used("AUSDT") == {}
    assert used.refresh(("AUSDT", "BUSDT"), TIME_MS, TIME_MS + HOUR_MS)
    assert set(used("AUSDT")) == {"funding"}
    assert used("AUSDT")["funding"]["value"].tolist() == [0.0001]
    assert len(used("BUSDT")["funding"]) == 0
    unused = inputs(database.with_name("absent"))
    assert unused.refresh(("AUSDT",), TIME_MS, TIME_MS + HOUR_MS)
    assert unused("AUSDT") == {}


def test_a_database_that_cannot_be_read_leaves_what_was_known(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    used = inputs(database, funding_limit_bps=2.0)
    used.refresh(("AUSDT",), TIME_MS, TIME_MS + HOUR_MS)
    database.write_bytes(b"rubbish" * 2_000)
    assert not used.refresh(("AUSDT",), TIME_MS, TIME_MS + HOUR_MS)
    assert used("AUSDT")["funding"]["value"].tolist() == [0.0001]
    assert "decided by what was known" in caplog.text
