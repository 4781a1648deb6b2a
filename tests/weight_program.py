"""Run as a program: one of several that fetch from the same exchange with the same state directory."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from futures_agent.exchange.client import MarketDataClient
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import ExchangeSettings


def run_together(programs: Sequence[Sequence[object]]) -> list[str]:
    """Run this program once with each list of arguments, all at once, none failing; return what each says."""
    running = [
        subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for arguments in programs
    ]
    for process in running:  # all have started before any sends
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=50)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return said


def main(
    url: str, state_dir: str, scale: str, limit_per_min: str, requests: str, share: str = "1", live: str = ""
) -> None:
    """Fetch `requests` pages; as the live trader with a share of 0.9 where `live` is given."""
    waits = []
    settings = ExchangeSettings(
        rest_url=url,
        time_scale=float(scale),
        weight_limit_per_min=int(limit_per_min),
        weight_limit_share=float(share),
        clock_resync_s=0.5,
    )
    print("ready", flush=True)
    sys.stdin.readline()
    client = MarketDataClient(settings, Path(state_dir), live=bool(live), on_wait=waits.append)

    def fetch(_: int) -> int:
        return len(client.closed_candles("BTCUSDT", Timeframe.H1, start_ms=None, limit=120))

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(fetch, range(int(requests))))
    client.close()
    print(f"candles={sum(counts)} waited={len(waits) > 0}")


if __name__ == "__main__":
    main(*sys.argv[1:])
