"""Write the candles that the simulator inside the test hosts serves: real ones as CSV, where there are any.

Usage: write_candles.py SOURCE TARGET SYMBOLS FIRST_DAY. Without SOURCE nothing is written, and the simulator
generates candles for the same symbols and days.
"""

import sys
from pathlib import Path

import pandas as pd

COLUMNS = ["symbol", "open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades"]


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    symbols, first_ms = sys.argv[3].split(","), int(pd.Timestamp(sys.argv[4], tz="UTC").timestamp() * 1000)
    target.mkdir(parents=True, exist_ok=True)
    for interval in ("1h", "4h", "1d"):
        file = source / f"klines_{interval}.parquet"
        if not file.exists():
            print(f"{file}: not there; the simulator generates candles")
            return
        wanted = [("symbol", "in", symbols), ("open_time", ">=", first_ms)]
        candles = pd.read_parquet(file, filters=wanted)
        columns = [name for name in COLUMNS if name in candles and candles[name].notna().all()]
        candles[columns].to_csv(target / f"klines_{interval}.csv", index=False)


if __name__ == "__main__":
    main()
