"""Fill rules, costs and rounding, once for backtest, paper and simulator."""
