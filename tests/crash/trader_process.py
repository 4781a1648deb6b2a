"""The live trader as a process of its own, which ends itself with SIGKILL at a numbered step if told to."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from crash.board import Board, BoardClock, Told, stand_in_for
from futures_agent.errors import AgentError
from futures_agent.live.assembly import Assembly
from futures_agent.live.steps import Step, watch
from futures_agent.program.progress import Reporter
from futures_agent.settings.tree import Settings

_TELL_EVERY_S = 0.005


def trade(
    settings: Settings, board_path: Path, at: tuple[str, int] | None, break_it: Callable[[], None] | None
) -> None:
    """Trade until killed, or until SIGTERM.

    Parameters
    ----------
    at : (name of a Step, which occurrence), optional
        Where to end.
    break_it : callable, optional
        Called first: spoils the product, to prove that the campaign sees it.
    """
    logging.basicConfig(
        filename=settings.paths.live.parent / "trader.log",
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s",
    )
    board = Board(board_path)
    lock = threading.Lock()

    def reached(step: Step, what: str) -> None:
        with lock:
            if (step.name, board.count(step)) == at:
                logging.info("SIGKILL at %s %s", step.name, what)
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)  # nothing happens after it

    if break_it is not None:
        break_it()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    clock = BoardClock(board, settings.exchange.time_scale)
    with mock.patch("futures_agent.exchange.reading.ExchangeClock", stand_in_for(clock)):
        assembly = Assembly(settings, Reporter("crash"), lambda: settings)
        watch(reached)
        board.tell(Told(running_ms=board.time_ms()))
        threading.Thread(target=_tell, args=(assembly, board), daemon=True).start()
        try:
            assembly.trader.run(stop.is_set)
        except AgentError:
            logging.exception("the trader ends")
            sys.exit(1)
        finally:
            assembly.close()


def _is_protected(assembly: Assembly) -> bool:
    """Say whether all that the trader believes to hold has its stop; time must not jump while it has not."""
    try:
        return all(line.stop is not None for line in list(assembly.desk.lines.values()) if line.exposure)
    except RuntimeError:  # the work loop is at it
        return False


def _tell(assembly: Assembly, board: Board) -> None:
    """Keep the board up to date."""
    held = 0
    while True:
        idle = assembly.trader.is_idle and assembly.streams_are_up and _is_protected(assembly)
        held = held + 1 if idle else 0
        board.tell(
            board.told._replace(
                last_close_ms=assembly.rounds.last_close_ms, idle=int(held > 1), beats=board.told.beats + 1
            )
        )
        time.sleep(_TELL_EVERY_S)
