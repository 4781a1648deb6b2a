// Filling the page from the embedded result.

const result = JSON.parse(document.getElementById("data").textContent);
const metrics = result.metrics;
const place = (id) => document.getElementById(id);
const day = (text) => text.slice(0, 10);

const CHECKS = {
  trades: ["Trades", whole], profit_factor: ["Profit factor", number],
  sharpe: ["Sharpe", number], max_drawdown: ["Max drawdown", percent],
};

function drawHead() {
  const params = Object.entries(result.strategy.params).map(([name, value]) => `${name} ${value}`).join(" · ");
  place("strategy").append(result.strategy.name, params ? el("span", { className: "params" }, params) : "");
  const scope = [`${result.symbols.length} ${result.symbols.length === 1 ? "symbol" : "symbols"}`, result.timeframe];
  if (result.data) scope.push(`${day(result.data.start)} → ${day(result.data.end)} (${whole(result.data.days)} days)`);
  scope.push(`${whole(result.candles)} candles`, `run ${result.started.replace("T", " ").replace("Z", " UTC")}`);
  place("period").textContent = scope.join(" · ");
}

function drawVerdict() {
  const { passed, checks } = result.verdict;
  const items = checks.map((check) => {
    const [name, format] = CHECKS[check.name] || [check.name, number];
    const limit = `${name} ${check.relation === ">=" ? "≥" : "≤"} ${format(check.threshold)}`;
    return el("li", null,
      el("span", { className: `mark ${check.ok ? "gain" : "loss"}` }, check.ok ? "✓" : "✗"),
      el("span", null, format(check.value)), el("span", { className: "name" }, limit));
  });
  const validation = result.signal_validation;
  place("verdict").classList.add(passed ? "passed" : "failed");
  place("verdict").append(
    el("span", { className: `badge ${passed ? "gain" : "loss"}` }, passed ? "PASSED" : "FAILED"),
    el("ul", { className: "checks" }, ...items),
    el("p", { className: "validation muted" }, `Signals against live trading: ${validation.status} – ${validation.reason}.`));
}

function drawWarnings() {
  if (!result.warnings.length) return;
  place("warnings").hidden = false;
  place("warnings").append(el("h2", null, "Warnings"),
    el("ul", null, ...result.warnings.map((text) => el("li", null, text))));
}

function drawCards() {
  const won = metrics.win_rate === null ? 0 : Math.round(metrics.win_rate * metrics.trades);
  const cards = [
    ["Total return", signedPercent(metrics.total_return), `${signed(metrics.net_pnl)} net`, metrics.total_return],
    ["Annual return", signedPercent(metrics.annual_return), `volatility ${percent(metrics.volatility)}`, metrics.annual_return],
    ["Max drawdown", percent(-metrics.max_drawdown), `longest ${number(metrics.max_drawdown_days)} days`, -metrics.max_drawdown],
    ["Sharpe", number(metrics.sharpe), "daily returns, √365"],
    ["Sortino", number(metrics.sortino), "downside only"],
    ["Calmar", number(metrics.calmar), "annual return / drawdown"],
    ["Profit factor", number(metrics.profit_factor), `${number(metrics.total_won)} / ${number(metrics.total_lost)}`],
    ["Win rate", percent(metrics.win_rate), `${whole(won)} of ${whole(metrics.trades)} trades`],
    ["Expectancy", signed(metrics.expectancy), `win ${signed(metrics.average_win)}, loss ${signed(metrics.average_loss)}`, metrics.expectancy],
    ["Trade length", hours(metrics.average_trade_hours), `best ${signed(metrics.best_trade)}, worst ${signed(metrics.worst_trade)}`],
    ["Mean exposure", percent(metrics.exposure_mean), `peak ${wholePercent(metrics.exposure_peak)}, in market ${wholePercent(metrics.exposure_time)}`],
    ["Turnover", metrics.turnover === null ? NONE : `${number(metrics.turnover)}×`, `fees ${number(metrics.fees)}`],
  ];
  place("cards").append(...cards.map(([label, value, note, toned]) => el("div", { className: "card" },
    el("div", { className: "label" }, label), el("div", { className: `value ${tone(toned)}` }, value),
    el("div", { className: "note" }, note))));
}

function drawChart() {
  if (!result.data) {
    place("chart").replaceWith(el("p", { className: "muted" }, "No bar was simulated."));
    return null;
  }
  const chart = new EquityChart(place("chart"), place("legend"), result.equity, metrics.initial_equity);
  const spans = [["1 M", 30], ["3 M", 91], ["6 M", 182], ["All", null]];
  const buttons = spans.map(([label, days]) => {
    const button = el("button", { type: "button", ariaPressed: String(days === null) }, label);
    button.addEventListener("click", () => {
      buttons.forEach((other) => { other.ariaPressed = String(other === button); });
      chart.showLastDays(days);
    });
    return button;
  });
  place("ranges").append(...buttons);
  return chart;
}

function drawMonths() {
  const months = Object.entries(result.monthly_returns);
  const strongest = Math.max(1e-9, ...months.map(([, value]) => Math.abs(value)));
  const heat = (value, name) => {
    const strength = Math.min(70, 8 + (62 * Math.abs(value)) / strongest);
    const style = `background:color-mix(in srgb, var(--${value < 0 ? "loss" : "gain"}) ${strength}%, var(--panel))`;
    return el("td", { style: value ? style : "", title: name }, signedPercent(value).replace(" %", ""));
  };
  const years = [...new Set(months.map(([month]) => month.slice(0, 4)))];
  const rows = years.map((year) => {
    const cells = Array.from({ length: 12 }, (_, index) => {
      const name = `${year}-${String(index + 1).padStart(2, "0")}`;
      return name in result.monthly_returns ? heat(result.monthly_returns[name], name) : el("td", { className: "empty" });
    });
    const ofYear = months.filter(([month]) => month.startsWith(year)).map(([, value]) => value);
    const total = ofYear.includes(null) ? null : ofYear.reduce((growth, value) => growth * (1 + value), 1) - 1;
    return el("tr", null, el("th", null, year), ...cells, el("td", { className: `total ${tone(total)}` }, signedPercent(total)));
  });
  const names = ["", ..."Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" "), "Year"];
  place("months").append(el("table", { className: "months" },
    el("thead", null, el("tr", null, ...names.map((name) => el("th", null, name)))), el("tbody", null, ...rows)));
}

function drawCosts() {
  const steps = [["Gross", metrics.gross_pnl], ["Fees", -metrics.fees], ["Funding", metrics.funding]];
  let level = 0;
  const bars = steps.map(([label, amount]) => { const from = level; level += amount; return [label, amount, from, level]; });
  bars.push(["Net", metrics.net_pnl, 0, metrics.net_pnl]);
  const levels = [0, ...bars.flatMap(([, , from, to]) => [from, to])];
  const low = Math.min(...levels);
  const scale = 100 / (Math.max(...levels) - low || 1);
  place("costs").append(el("div", { className: "flow" }, ...bars.flatMap(([label, amount, from, to]) => {
    const bar = `left:${(Math.min(from, to) - low) * scale}%;width:${Math.abs(to - from) * scale}%;` +
      `background:var(--${amount < 0 ? "loss" : "gain"})`;
    const sum = label === "Net" ? " sum" : "";
    return [el("span", { className: sum }, label), el("span", { className: "track" }, el("i", { style: bar })),
      el("span", { className: `amount ${tone(amount)}${sum}` }, signed(amount))];
  })));
}

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
  new SortableGrid(place("symbols"), SYMBOL_COLUMNS, { sortBy: "net_pnl", nothing: "No symbols." }).show(result.by_symbol);
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

function drawTrades() {
  const columns = Object.entries(result.trades);
  const trades = result.trades.symbol.map((_, index) => Object.fromEntries(columns.map(([name, values]) => [name, values[index]])));
  const grid = new SortableGrid(place("trades"), TRADE_COLUMNS, { sortBy: "exit_time", nothing: "No trades." });
  const distinct = (key) => [...new Set(trades.map((trade) => trade[key]))].sort();
  const filters = [["symbol", "All symbols"], ["side", "Both sides"], ["exit_reason", "All exits"]]
    .map(([key, label]) => [key, choice(label, distinct(key))]);
  const save = el("button", { type: "button" }, "Save as CSV");
  const update = () => {
    const rows = trades.filter((trade) => filters.every(([key, select]) => !select.value || trade[key] === select.value));
    const net = rows.reduce((sum, trade) => sum + trade.net_pnl, 0);
    const whose = trades.length < metrics.trades ? ` (the first ${whole(trades.length)} of ${whole(metrics.trades)} are listed)` : "";
    place("trade-count").textContent = `${whole(rows.length)} trades, net ${signed(net)}${whose}`;
    grid.show(rows);
  };
  filters.forEach(([, select]) => select.addEventListener("change", update));
  save.addEventListener("click", () => saveCsv(grid.rows));
  place("filters").append(...filters.map(([, select]) => select), save);
  update();
}

function drawRest() {
  const refused = Object.entries(result.rejections).map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
  place("rejections").append(refused.length
    ? plainTable([{ key: "reason", label: "Reason", text: true }, { key: "count", label: "Entries", format: whole }], refused)
    : el("p", { className: "muted" }, "None."));
  place("assumptions").append(...result.assumptions.map((rule) => el("li", null, rule)));
  const text = (value) => (Array.isArray(value) ? value.join(" ") : typeof value === "object" ? JSON.stringify(value) : String(value));
  const rows = Object.entries(result.settings).map(([key, value]) =>
    el("tr", null, el("td", { className: "text" }, key), el("td", { className: "text wrap" }, text(value))));
  place("settings").append(el("table", { className: "data" }, el("tbody", null, ...rows)));
  const { app, git, python, numpy, numba } = result.versions;
  const versions = [`app ${app}`, git && `git ${git.slice(0, 12)}`, `Python ${python}`, `NumPy ${numpy}`, numba && `numba ${numba}`];
  place("provenance").textContent = [`Run ${result.run_id}, ${number(result.duration_s)} s`, ...versions.filter(Boolean),
    `settings ${result.settings_hash.slice(0, 12)}`, `model ${result.model_hash || "none"}`].join(" · ");
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  place("theme").textContent = name === "dark" ? "☀ Light" : "☾ Dark";
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
drawHead();
drawVerdict();
drawWarnings();
drawCards();
const equityChart = drawChart();
drawMonths();
drawCosts();
drawGroups();
drawTrades();
drawRest();
place("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  if (equityChart) equityChart.restyle();
});
