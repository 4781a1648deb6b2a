"""Comparing two runs: what differs is named, what does not is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from futures_agent.backtest.compare import Comparison, EquityParts, Run, compare
from futures_agent.backtest.compare_screen import print_comparison
from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.backtest.result import SCHEMA_VERSION, build_result
from futures_agent.backtest.result_files import find_result, read_run, write_result
from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.settings.load import load
from sample_runs import START_MS, closed_trades, random_run, run_of

STARTED = parse_utc("2026-11-20T23:30")


def run(simulation: Simulation, **environ: str) -> Run:
    """Return a run as it is read back from its JSON."""
    effective = load(environ={"AGENT_STRATEGY__NAME": "ema_cross", **environ})
    result = build_result(simulation, effective, started_ms=STARTED, finished_ms=STARTED + 900)
    return msgspec.json.decode(msgspec.json.encode(result), type=Run)


def test_a_run_compared_with_itself_differs_in_nothing() -> None:
    one = run(random_run(1, trades=100))
    found = compare(one, one)
    assert found.traded_alike
    assert (found.settings, found.data, found.equity_parts) == ([], [], None)
    assert (found.trades.same, found.trades.other_fill) == (len(one.trades.symbol), 0)
    assert [*found.trades.other_outcome, *found.trades.only_a, *found.trades.only_b] == []
    assert {one.difference for one in (*found.metrics, *found.rejections)} <= {0, None}


def test_only_settings_that_matter_are_told_and_parameters_by_name() -> None:
    found = compare(
        run(run_of([101])),
        run(
            run_of([101]),
            AGENT_STRATEGY__PARAMS='{"fast": 7}',
            AGENT_RISK__MAX_POSITIONS="3",
            AGENT_LOG__LEVEL="DEBUG",
            AGENT_PATHS__STATE_DIR="/elsewhere",
        ),
    )
    assert {(one.name, one.a, one.b) for one in found.settings} == {
        ("strategy.params.fast", 20, 7),
        ("risk.max_positions", 8, 3),
    }


def test_other_data_are_told() -> None:
    found = compare(run(run_of([101], symbols=("A", "B"))), run(run_of([101, 102], symbols=("A",))))
    assert [(one.name, one.a, one.b) for one in found.data] == [
        ("to", "2025-11-21T00:00:00Z", "2025-11-22T00:00:00Z"),
        ("candles", 1, 2),
        ("symbols", ["A", "B"], ["A"]),
    ]


def test_other_strategy_code_is_told() -> None:
    one = run(run_of([101]))
    edited = msgspec.structs.replace(one, strategy=msgspec.structs.replace(one.strategy, code="edited"))
    (found,) = compare(one, edited).data
    assert (found.name, found.a, found.b) == ("strategy code", one.strategy.code, "edited")
    assert one.strategy.code


def test_metrics_and_rejections_are_told_with_their_difference() -> None:
    found = compare(
        run(run_of([101], closed_trades([1.0]), rejections={"X": 3})),
        run(run_of([101], closed_trades([1.5, -1.0]), rejections={"Y": 2})),
    )
    metrics = {one.name: one for one in found.metrics}
    assert metrics["trades"].difference == 1
    assert metrics["net_pnl"].difference == -0.5
    assert metrics["profit_factor"].a is None
    assert (metrics["profit_factor"].b, metrics["profit_factor"].difference) == (1.5, None)
    assert [(one.name, one.a, one.b, one.difference) for one in found.rejections] == [
        ("X", 3, 0, -3),
        ("Y", 0, 2, 2),
    ]


def test_each_trade_is_counted_once_in_the_kind_it_is_of() -> None:
    hours = [0, 1, 2, 3, 4]
    shared = {"entry_time": [START_MS + HOUR_MS * hour for hour in hours], "symbol": [0, 1, 0, 1, 0]}
    a = closed_trades([1, 2, 3, 4, 5], **shared)
    b = a.copy()
    b["quantity"][1] = 2.0  # another size
    b["exit_time"][2] += HOUR_MS  # another end
    b["exit_reason"][3] = ExitReason.STOP  # another reason
    b["side"][4] = -1  # another trade altogether
    symbols = ("A", "B")
    found = compare(run(run_of([101], a, symbols=symbols)), run(run_of([101], b, symbols=symbols)))
    assert (found.traded_alike, found.trades.same, found.trades.other_fill) == (False, 1, 1)
    assert [(pair.a.entry_time, pair.b.symbol) for pair in found.trades.other_outcome] == [
        (START_MS + 2 * HOUR_MS, "A"),
        (START_MS + 3 * HOUR_MS, "B"),
    ]
    assert [trade.side for trade in (*found.trades.only_a, *found.trades.only_b)] == ["long", "short"]


@pytest.mark.parametrize(
    ("a", "b", "parts"),
    [
        ([101, 102, 103], [101, 102.5, 99], EquityParts("2025-11-21", 102.0, 102.5)),
        ([101, 102], [101, 102, 103], EquityParts("2025-11-22", None, 103.0)),
        ([101, 102], [101, 102], None),
    ],
)
def test_the_first_day_on_which_the_equities_part(
    a: list[float], b: list[float], parts: EquityParts | None
) -> None:
    assert compare(run(run_of(a)), run(run_of(b))).equity_parts == parts


def compared(a: Simulation, b: Simulation) -> Comparison:
    return compare(run(a), run(b))


def test_the_screen_names_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    a = run_of([101, 102], closed_trades([1, 2]), rejections={"X": 3}, symbols=("AUSDT", "BUSDT"))
    b = run_of([101, 99], closed_trades([1, -3], side=[1, -1]), symbols=("AUSDT", "CUSDT"))
    print_comparison(compared(a, b))
    shown = capsys.readouterr().out
    assert "2: BUSDT" in shown
    assert "2: CUSDT" in shown
    assert "trades: 1 the same, 0 with another size or price, 0 with another outcome, 1 only in A" in shown
    assert "only B  AUSDT" in shown
    assert "the equities part on 2025-11-21" in shown
    print_comparison(compared(a, a))
    shown = capsys.readouterr().out
    assert "same settings, same data, same code" in shown
    assert "both traded alike" in shown


def test_the_screen_shows_both_ends_of_a_trade_that_went_another_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = closed_trades([5]), closed_trades([5], exit_reason=ExitReason.STOP)
    print_comparison(compared(run_of([105], one), run_of([105], other)))
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if "BTCUSDT" in line] == ["A", "B"]
    assert "the orders differ, the equity is the same at the end of each day" in shown
    print_comparison(compared(run_of(), run_of([105])))
    assert "from     -  2025-11-20T00:00:00Z" in capsys.readouterr().out


def written(directory: Path, started_ms: int, *, latest: bool = True) -> Path:
    simulation = run_of([101], closed_trades([1.0]))
    result = build_result(simulation, load(environ={}), started_ms=started_ms, finished_ms=started_ms + 1000)
    return write_result(directory, result, "", latest=latest).json


def test_a_result_is_found_by_path_id_latest_and_previous(tmp_path: Path) -> None:
    first, second = written(tmp_path, STARTED), written(tmp_path, STARTED + DAY_MS)
    tried = written(tmp_path, STARTED + 2 * DAY_MS, latest=False)
    assert find_result(tmp_path, "previous") == first
    assert find_result(tmp_path, "latest").samefile(second)
    assert find_result(tmp_path, "20261122T233000Z") == tried
    assert find_result(tmp_path / "no", str(second)) == second
    assert find_result(tmp_path / "no", str(second.with_suffix(".html"))) == second
    assert read_run(first).run_id == "20261120T233000Z"


def test_a_result_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no run before the latest"):
        find_result(tmp_path, "previous")
    with pytest.raises(Refuse, match=r"no result 'latest'; newest in .*: none"):
        find_result(tmp_path, "latest")
    written(tmp_path, STARTED)
    with pytest.raises(Refuse, match="no run before the latest"):
        find_result(tmp_path, "previous")
    with pytest.raises(Refuse, match=r"no result 'x'; newest in .*: 20261120T233000Z; or name a file"):
        find_result(tmp_path, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"schema_version": {SCHEMA_VERSION - 1}}}', "schema version .*; run it again"),
        (f'{{"schema_version": {SCHEMA_VERSION}}}', "not a complete backtest result"),
        ("{", "not a complete backtest result"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(Refuse, match=message):
        read_run(path)
    with pytest.raises(Refuse, match="cannot read the result: Is a directory"):
        read_run(tmp_path)
