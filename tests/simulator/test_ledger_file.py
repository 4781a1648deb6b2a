"""The file of the ledger holds every line, or says why it does not."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import requests

from futures_agent.errors import Refuse
from futures_agent.simulator.board import board_of
from futures_agent.simulator.ledger_file import LedgerFile
from futures_agent.simulator.page_tables import board_html
from signed_client import trading_floor


def test_every_line_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "ledger.jsonl"
    with trading_floor(ledger=path, ledger_lines_kept=3) as floor:
        floor.client().market("BUY", "0.01")
        told = requests.get(f"{floor.simulator.url}/sim/state", timeout=10).json()["ledger"]
        newest = floor.simulator.venue.exchange.ledger.lines()
    lines = path.read_bytes().splitlines()
    assert lines[-3:] == newest
    assert told == {
        "entries": len(lines),
        "kept": 3,
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "file": str(path),
        "fault": "",
    }


def test_the_ledger_of_an_earlier_run_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("{}\n")
    with pytest.raises(Refuse, match=r"ledger\.jsonl is there already"):
        LedgerFile(path)
    assert path.read_text() == "{}\n"


def test_a_folder_cannot_be_the_file(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match=re.escape(f"{tmp_path}: File exists")):
        LedgerFile(tmp_path)


def test_a_file_that_cannot_be_written_is_told_and_trading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with trading_floor(ledger=path) as floor:
        client, venue = floor.client(), floor.simulator.venue
        path.rename(tmp_path / "away")
        path.mkdir()
        client.market("BUY", "0.01")
        assert client.account.position("BTCUSDT").amount > 0
        assert f"{path}: Is a directory" in board_of(venue).ledger.fault
        assert f"{path}: Is a directory" in board_html(board_of(venue))
        path.rmdir()
        client.market("SELL", "0.01")
        assert not path.exists()
        assert f"{path}: Is a directory" in board_of(venue).ledger.fault
