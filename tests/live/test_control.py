"""Steering: a pause persists, a command is answered once or taken back."""

import threading
from pathlib import Path

import pytest

from futures_agent.errors import Refuse, Retry
from futures_agent.live.control import Command, Control


def test_a_pause_holds_until_it_is_resumed(tmp_path: Path) -> None:
    control = Control(tmp_path)
    assert control.paused is None
    assert not control.resume()
    control.pause("the news")
    paused = Control(tmp_path).paused
    assert paused is not None
    assert paused.why == "the news"
    assert control.resume()
    assert Control(tmp_path).paused is None


def test_a_pause_needs_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="--why"):
        Control(tmp_path).pause("  ")


def test_a_damaged_pause_still_pauses(tmp_path: Path) -> None:
    (tmp_path / "PAUSED").write_bytes(b"{")
    paused = Control(tmp_path).paused
    assert paused is not None
    assert "cannot be read" in paused.why


def serving(control: Control, perform, stop: threading.Event) -> threading.Thread:
    def serve() -> None:
        while not stop.wait(0.01):
            control.serve(perform)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_command_is_performed_once_and_answered(tmp_path: Path) -> None:
    control, stop = Control(tmp_path), threading.Event()
    seen: list[Command] = []

    def perform(command: Command) -> str:
        seen.append(command)
        if command.verb == "rearm":
            raise Refuse("nothing to re-arm")
        return "closing 2 positions"

    thread = serving(Control(tmp_path), perform, stop)
    try:
        done = control.ask("flatten", symbol="BTCUSDT", why="holiday")
        refused = control.ask("rearm")
    finally:
        stop.set()
        thread.join()
    assert (done.done, done.line) == (True, "closing 2 positions")
    assert (refused.done, refused.line) == (False, "nothing to re-arm")
    assert [(each.verb, each.symbol, each.why) for each in seen] == [
        ("flatten", "BTCUSDT", "holiday"),
        ("rearm", "", ""),
    ]
    assert not list(tmp_path.glob("*/*.json"))


def test_without_a_trader_the_command_is_taken_back(tmp_path: Path) -> None:
    control = Control(tmp_path)
    with pytest.raises(Retry, match="taken back"):
        control.ask("flatten", wait_s=0.2)
    assert control.serve(lambda command: pytest.fail("performed later")) == 0


def test_what_is_no_command_is_thrown_away(tmp_path: Path) -> None:
    control = Control(tmp_path)
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "0.json").write_bytes(b"nonsense")
    control.serve(lambda command: pytest.fail("performed"))
    assert not list((tmp_path / "commands").iterdir())
