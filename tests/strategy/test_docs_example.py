"""The strategy in the documentation is one that works, compiled and plain."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from futures_agent.strategy.registry import load_strategy
from sample_markets import random_candles, run

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_the_documented_strategy_trades_the_same_compiled_and_plain(
    tmp_path: Path, compile_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    path = tmp_path / "documented.py"
    path.write_text(source)
    module = ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    exec(compile(source, str(path), "exec"), module.__dict__)
    strategy = load_strategy("documented:BREAKOUT")
    results = [
        run(
            {"BTCUSDT": random_candles(1, 2_000)},
            strategy,
            params={"breakout": 2.0},
            compile_cache=cache,
        )
        for cache in (None, compile_cache)
    ]
    assert len(results[0].trades) > 10
    assert results[0].trades.tobytes() == results[1].trades.tobytes()
