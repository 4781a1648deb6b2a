"""Words everybody uses: timeframe, candle, instrument, and what a good series of candles is."""
