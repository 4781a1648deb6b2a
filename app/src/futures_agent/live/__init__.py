"""Live trading: one program that decides as the backtest does, and guards what it holds."""
