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
  const count = result.symbols.length;
  const scope = [`${count} ${count === 1 ? "symbol" : "symbols"}`, result.timeframe];
  if (result.data) {
    const { start, end, days } = result.data;
    scope.push(`${day(start)} → ${day(end)} (${whole(days)} days)`);
  }
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
  const { status, reason } = result.signal_validation;
  place("verdict").classList.add(passed ? "passed" : "failed");
  place("verdict").append(
    el("span", { className: `badge ${passed ? "gain" : "loss"}` }, passed ? "PASSED" : "FAILED"),
    el("ul", { className: "checks" }, ...items),
    el("p", { className: "validation muted" }, `Signals against live trading: ${status} – ${reason}.`));
}

function drawWarnings() {
  if (!result.warnings.length) return;
  place("warnings").hidden = false;
  place("warnings").append(el("h2", null, "Warnings"),
    el("ul", null, ...result.warnings.map((text) => el("li", null, text))));
}

// Label, value, the line below it, and the number whose sign colours the value.
function cards() {
  const m = metrics;
  const won = m.win_rate === null ? 0 : Math.round(m.win_rate * m.trades);
  const averages = `win ${signed(m.average_win)}, loss ${signed(m.average_loss)}`;
  const inMarket = `peak ${wholePercent(m.exposure_peak)}, in market ${wholePercent(m.exposure_time)}`;
  return [
    ["Total return", signedPercent(m.total_return), `${signed(m.net_pnl)} net`, m.total_return],
    ["Annual return", signedPercent(m.annual_return), `volatility ${percent(m.volatility)}`, m.annual_return],
    ["Max drawdown", percent(-m.max_drawdown), `longest ${number(m.max_drawdown_days)} days`, -m.max_drawdown],
    ["Sharpe", number(m.sharpe), "daily returns, √365"],
    ["Sortino", number(m.sortino), "downside only"],
    ["Calmar", number(m.calmar), "annual return / drawdown"],
    ["Profit factor", number(m.profit_factor), `${number(m.total_won)} / ${number(m.total_lost)}`],
    ["Win rate", percent(m.win_rate), `${whole(won)} of ${whole(m.trades)} trades`],
    ["Expectancy", signed(m.expectancy), averages, m.expectancy],
    ["Trade length", hours(m.average_trade_hours), `best ${signed(m.best_trade)}, worst ${signed(m.worst_trade)}`],
    ["Mean exposure", percent(m.exposure_mean), inMarket],
    ["Turnover", m.turnover === null ? NONE : `${number(m.turnover)}×`, `fees ${number(m.fees)}`],
  ];
}

function drawCards() {
  place("cards").append(...cards().map(([label, value, note, toned]) => el("div", { className: "card" },
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

function monthCell(name, strongest) {
  const value = result.monthly_returns[name];
  if (value === undefined) return el("td");
  const strength = Math.min(70, 8 + (62 * Math.abs(value)) / strongest);
  const fill = `background:color-mix(in srgb, var(--${value < 0 ? "loss" : "gain"}) ${strength}%, var(--panel))`;
  return el("td", { style: value ? fill : "", title: name }, signedPercent(value).replace(" %", ""));
}

function drawMonths() {
  const months = Object.entries(result.monthly_returns);
  const strongest = Math.max(1e-9, ...months.map(([, value]) => Math.abs(value)));
  const years = [...new Set(months.map(([month]) => month.slice(0, 4)))];
  const rows = years.map((year) => {
    const ofYear = months.filter(([month]) => month.startsWith(year)).map(([, value]) => value);
    const total = ofYear.includes(null) ? null : ofYear.reduce((growth, value) => growth * (1 + value), 1) - 1;
    const names = Array.from({ length: 12 }, (_, index) => `${year}-${String(index + 1).padStart(2, "0")}`);
    return el("tr", null, el("th", null, year), ...names.map((name) => monthCell(name, strongest)),
      el("td", { className: `total ${tone(total)}` }, signedPercent(total)));
  });
  const heads = ["", ..."Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" "), "Year"];
  place("months").append(el("table", { className: "months" },
    el("thead", null, el("tr", null, ...heads.map((name) => el("th", null, name)))), el("tbody", null, ...rows)));
}

// A waterfall: each bar starts where the one before it ended.
function drawCosts() {
  const bars = [];
  let level = 0;
  const steps = [["Gross", metrics.gross_pnl], ["Fees", -metrics.fees], ["Funding", metrics.funding]];
  for (const [label, amount] of steps) {
    bars.push({ label, amount, from: level, to: level + amount });
    level += amount;
  }
  bars.push({ label: "Net", amount: metrics.net_pnl, from: 0, to: metrics.net_pnl, emphasis: " sum" });
  const levels = bars.flatMap(({ from, to }) => [from, to]);
  const low = Math.min(...levels);
  const scale = 100 / (Math.max(...levels) - low || 1);
  const cells = bars.flatMap(({ label, amount, from, to, emphasis = "" }) => {
    const extent = `left:${(Math.min(from, to) - low) * scale}%;width:${Math.abs(amount) * scale}%`;
    const bar = el("i", { style: `${extent};background:var(--${amount < 0 ? "loss" : "gain"})`, hidden: !amount });
    return [el("span", { className: emphasis }, label), el("span", { className: "track" }, bar),
      el("span", { className: `amount ${tone(amount)}${emphasis}` }, signed(amount))];
  });
  place("costs").append(el("div", { className: "flow" }, ...cells));
}

function drawRules() {
  const refused = Object.entries(result.rejections).map(([reason, count]) => ({ reason, count }));
  refused.sort((a, b) => b.count - a.count);
  const columns = [
    { key: "reason", label: "Reason", text: true },
    { key: "count", label: "Entries", format: whole },
  ];
  place("rejections").append(
    refused.length ? plainTable(columns, refused) : el("p", { className: "muted" }, "None."));
  place("assumptions").append(...result.assumptions.map((rule) => el("li", null, rule)));
}

function settingText(value) {
  if (Array.isArray(value)) return value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function drawSettings() {
  const rows = Object.entries(result.settings).map(([key, value]) => el("tr", null,
    el("td", { className: "text" }, key), el("td", { className: "text wrap" }, settingText(value))));
  place("settings").append(el("table", { className: "data" }, el("tbody", null, ...rows)));
  const { app, git, python, numpy, numba } = result.versions;
  const facts = [
    `Run ${result.run_id}`, `${number(result.duration_s)} s`, `app ${app}`, git && `git ${git.slice(0, 12)}`,
    `Python ${python}`, `NumPy ${numpy}`, numba && `numba ${numba}`,
    `settings ${result.settings_hash.slice(0, 12)}`, `model ${result.model_hash || "none"}`,
  ];
  place("provenance").textContent = facts.filter(Boolean).join(" · ");
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
drawRules();
drawSettings();
place("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  if (equityChart) equityChart.restyle();
});
