// The tables of groups, symbols and trades.

const GROUP_COLUMNS = [
  { key: "name", label: "", text: true, width: 150 },
  { key: "trades", label: "Trades", format: whole, width: 80 },
  { key: "win_rate", label: "Win rate", format: percent, width: 95 },
  { key: "profit_factor", label: "Profit factor", format: number, width: 115 },
  { key: "expectancy", label: "Per trade", format: signed, toned: true, width: 100 },
  { key: "net_pnl", label: "Net", format: signed, toned: true, width: 110 },
];
const SYMBOL_COLUMNS = [
  { ...GROUP_COLUMNS[0], label: "Symbol" }, ...GROUP_COLUMNS.slice(1),
  { key: "gross_pnl", label: "Gross", format: signed, toned: true, width: 110 },
  { key: "fees", label: "Fees", format: number, width: 90 },
  { key: "funding", label: "Funding", format: signed, toned: true, width: 95 },
  { key: "best_trade", label: "Best", format: signed, width: 95 },
  { key: "worst_trade", label: "Worst", format: signed, width: 95 },
  { key: "average_trade_hours", label: "Length", format: hours, width: 90 },
];
const TRADE_COLUMNS = [
  { key: "symbol", label: "Symbol", text: true, width: 140 },
  { key: "side", label: "Side", text: true, width: 75 },
  { key: "entry_time", label: "Entry (UTC)", format: moment, width: 150 },
  { key: "entry_price", label: "Price", format: price, width: 105 },
  { key: "exit_time", label: "Exit (UTC)", format: moment, width: 150 },
  { key: "exit_price", label: "Price", format: price, width: 105 },
  { key: "exit_reason", label: "Reason", text: true, width: 110 },
  { key: "quantity", label: "Quantity", format: price, width: 110 },
  { key: "fees", label: "Fees", format: number, width: 75 },
  { key: "funding", label: "Funding", format: signed, toned: true, width: 85 },
  { key: "net_pnl", label: "Net", format: signed, toned: true, width: 100 },
];

function drawGroups() {
  place("groups").append(plainTable(GROUP_COLUMNS, [...result.by_side, ...result.by_exit_reason]));
  const grid = new SortableGrid(place("symbols"), SYMBOL_COLUMNS, { sortBy: "net_pnl", nothing: "No symbols." });
  grid.show(result.by_symbol);
}

function choice(label, values) {
  const options = values.map((value) => el("option", { value }, value));
  return el("select", { ariaLabel: label }, el("option", { value: "" }, label), ...options);
}

function saveCsv(rows) {
  const names = Object.keys(result.trades);
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.join(","));
  const link = el("a", { href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })) });
  link.download = `trades_${result.run_id}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function tradeRows() {
  const columns = Object.entries(result.trades);
  const rowOf = (index) => Object.fromEntries(columns.map(([name, values]) => [name, values[index]]));
  return result.trades.symbol.map((_, index) => rowOf(index));
}

function drawTrades() {
  const trades = tradeRows();
  const grid = new SortableGrid(place("trades"), TRADE_COLUMNS, { sortBy: "exit_time", nothing: "No trades." });
  const distinct = (key) => [...new Set(trades.map((trade) => trade[key]))].sort();
  const filters = [["symbol", "All symbols"], ["side", "Both sides"], ["exit_reason", "All exits"]]
    .map(([key, label]) => ({ key, select: choice(label, distinct(key)) }));
  const [listed, all] = [trades.length, metrics.trades];
  const note = listed < all ? ` (the first ${whole(listed)} of ${whole(all)} are listed)` : "";
  const update = () => {
    const chosen = filters.filter(({ select }) => select.value);
    const rows = trades.filter((trade) => chosen.every(({ key, select }) => trade[key] === select.value));
    const net = rows.reduce((sum, trade) => sum + trade.net_pnl, 0);
    place("trade-count").textContent = `${whole(rows.length)} trades, net ${signed(net)}${note}`;
    grid.show(rows);
  };
  filters.forEach(({ select }) => select.addEventListener("change", update));
  const save = el("button", { type: "button" }, "Save as CSV");
  save.addEventListener("click", () => saveCsv(grid.rows));
  place("filters").append(...filters.map(({ select }) => select), save);
  update();
}
