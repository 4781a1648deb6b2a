-- When a value could be known: a backtest must not see it earlier. Two columns, because a row's funding
-- rate is known at its timestamp, and its statistics only after the period that begins there.
ALTER TABLE sentimento_mercado ADD COLUMN funding_available_at INTEGER;
ALTER TABLE sentimento_mercado ADD COLUMN available_at INTEGER;
ALTER TABLE sentimento_mercado ADD COLUMN taker_buy_volume REAL;
ALTER TABLE sentimento_mercado ADD COLUMN taker_sell_volume REAL;
