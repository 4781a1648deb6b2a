// The tables of symbols and trades, and what filters the trades.

const SYMBOL_COLUMNS = [
  { key: "name", label: "Symbol", text: true, width: 135, picks: true },
  { key: "trades", label: "Trades", format: whole, width: 70 },
  { key: "win_rate", label: "Win rate", format: percent, width: 85 },
  { key: "profit_factor", label: "Profit factor", format: number, width: 110 },
  { key: "expectancy", label: "Per trade", format: signed, toned: true, width: 90 },
  { key: "net_pnl", label: "Net", format: signed, toned: true, width: 95 },
  {
    key: "gross_pnl",
    label: "Gross",
    format: signed,
    toned: true,
    width: 95,
    title: "After slippage, before fees and funding",
  },
  { key: "fees", label: "Fees", format: number, width: 80 },
  { key: "slippage", label: "Slippage", format: number, width: 85, title: "Contained in gross" },
  { key: "funding", label: "Funding", format: signed, toned: true, width: 85 },
  {
    key: "cost_share",
    label: "Costs",
    format: percent,
    width: 85,
    title: "Slippage, fees and funding as a share of the price moves",
  },
  { key: "best_trade", label: "Best", format: signed, width: 85 },
  { key: "worst_trade", label: "Worst", format: signed, width: 85 },
  { key: "average_trade_hours", label: "Length", format: hours, width: 75 },
];

const TRADE_COLUMNS = [
  { key: "symbol", label: "Symbol", text: true, width: 130, picks: true },
  { key: "side", label: "Side", text: true, width: 60 },
  { key: "entry_time", label: "Entry (UTC)", format: moment, width: 140 },
  { key: "entry_price", label: "Price", format: price, width: 90, title: "Entry price, with slippage" },
  { key: "exit_time", label: "Exit (UTC)", format: moment, width: 140 },
  { key: "exit_price", label: "Price", format: price, width: 90, title: "Exit price, with slippage" },
  { key: "exit_reason", label: "Exit", text: true, width: 115 },
  { key: "net_pnl", label: "Net", format: signed, toned: true, width: 90 },
  {
    key: "multiple",
    label: "R",
    format: signed,
    toned: true,
    width: 65,
    title: "Net as a multiple of what the stop risked at entry",
  },
  { key: "why", label: "Why", text: true, width: 240, title: "Reasons of the entry" },
  { key: "hours", label: "Length", format: hours, width: 80 },
  { key: "notional", label: "Notional", format: number, width: 100, title: "Quantity × entry price" },
  { key: "fees", label: "Fees", format: number, width: 75 },
  { key: "funding", label: "Funding", format: signed, toned: true, width: 85 },
];

function drawSymbols(groups, onPick) {
  const options = { sortBy: "net_pnl", nothing: "No symbols.", onPick: (row) => onPick(row.name) };
  const rows = groups.map((group) => {
    const moves = group.gross_pnl + group.slippage;
    const costs = group.slippage + group.fees - group.funding;
    return { ...group, cost_share: moves > 0 ? costs / moves : null };
  });
  new SortableGrid(place("symbols"), SYMBOL_COLUMNS, options).show(rows);
}

// One object per trade, with what is only shown here.
function tradeRows({ trades, strategy }) {
  const columns = Object.entries(trades);
  return trades.symbol.map((_, index) => {
    const trade = Object.fromEntries(columns.map(([name, values]) => [name, values[index]]));
    const risked = trade.stop_price ? trade.quantity * Math.abs(trade.entry_price - trade.stop_price) : 0;
    trade.hours = (trade.exit_time - trade.entry_time) / 3600000;
    trade.notional = trade.quantity * trade.entry_price;
    trade.multiple = risked ? trade.net_pnl / risked : null;
    trade.reason_names = strategy.reasons.filter((__, bit) => Math.floor(trade.reasons / 2 ** bit) % 2);
    trade.why = trade.reason_names.join(", ");
    return trade;
  });
}

function saveCsv(result, rows) {
  const names = Object.keys(result.trades);
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.join(","));
  const link = el("a", {
    href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })),
  });
  link.download = `trades_${result.run_id}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// The controls above the trade list; `test(trade)` says whether a trade passes all of them.
class TradeFilters {
  constructor(container, result, trades, onChange) {
    const distinct = (key) => [...new Set(trades.map((trade) => trade[key]))].sort();
    this.selects = {
      symbol: this.choice("All symbols", distinct("symbol")),
      side: this.choice("Both sides", distinct("side")),
      exit: this.choice("All exits", distinct("exit_reason")),
      reason: this.choice("All reasons", result.strategy.reasons),
      outcome: this.choice("Won and lost", ["won", "lost"]),
    };
    this.selects.reason.hidden = !result.strategy.reasons.length;
    this.from = el("input", { type: "date", ariaLabel: "Entered on or after" });
    this.to = el("input", { type: "date", ariaLabel: "Entered on or before" });
    this.text = el("input", { type: "search", ariaLabel: "Search", placeholder: "Search", size: 12 });
    const reset = button("Reset", () => {
      this.clear();
      onChange();
    });
    this.controls = [...Object.values(this.selects), this.from, this.to, this.text];
    this.controls.forEach((control) => control.addEventListener("input", onChange));
    container.append(...this.controls, reset);
  }

  choice(label, values) {
    const options = values.map((value) => el("option", { value }, value));
    return el("select", { ariaLabel: label }, el("option", { value: "" }, label), ...options);
  }

  clear() {
    this.controls.forEach((control) => {
      control.value = "";
    });
  }

  test() {
    const { symbol, side, exit, reason, outcome } = Object.fromEntries(
      Object.entries(this.selects).map(([name, select]) => [name, select.value]),
    );
    const first = this.from.value ? Date.parse(this.from.value) : -Infinity;
    const last = this.to.value ? Date.parse(this.to.value) + DAY_LENGTH_MS : Infinity;
    const words = this.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    return (trade) =>
      (!symbol || trade.symbol === symbol) &&
      (!side || trade.side === side) &&
      (!exit || trade.exit_reason === exit) &&
      (!reason || trade.reason_names.includes(reason)) &&
      (!outcome || (outcome === "won" ? trade.net_pnl > 0 : trade.net_pnl < 0)) &&
      trade.entry_time >= first &&
      trade.entry_time < last &&
      words.every((word) => this.textOf(trade).includes(word));
  }

  textOf({ symbol, side, exit_reason: exit, why, entry_time: entry }) {
    return `${symbol} ${side} ${exit} ${why} ${moment(entry)}`.toLowerCase();
  }
}

// `onPick(trade)` shows one; returns `step(by)`, which picks a neighbour of the picked one.
function drawTrades(result, trades, onPick) {
  const pick = (trade) => {
    grid.pick(trade);
    onPick(trade);
  };
  const options = { sortBy: "exit_time", nothing: "No trades.", onPick: pick };
  const grid = new SortableGrid(
    place("trades"),
    TRADE_COLUMNS.filter(({ key }) => key !== "why" || result.strategy.reasons.length),
    options,
  );
  const [listed, all] = [trades.length, result.metrics.trades];
  const note = listed < all ? ` (the first ${whole(listed)} of ${whole(all)} are listed)` : "";
  const update = () => {
    const rows = trades.filter(filters.test());
    const sum = (key) => rows.reduce((total, trade) => total + trade[key], 0);
    const won = rows.filter((trade) => trade.net_pnl > 0).length;
    const facts = [
      plural(rows.length, "trade"),
      `net ${signed(sum("net_pnl"))}`,
      rows.length ? `${percent(won / rows.length)} won` : "",
      `fees ${number(sum("fees"))}`,
    ];
    place("trade-count").textContent = facts.filter(Boolean).join(", ") + note;
    grid.show(rows);
  };
  const filters = new TradeFilters(place("filters"), result, trades, update);
  place("filters").append(button("Save as CSV", () => saveCsv(result, grid.rows)));
  update();
  return (by) => {
    const next = grid.rows[grid.rows.indexOf(grid.picked) + by];
    if (next) pick(next);
  };
}
