// The head of the page: what ran, whether it passed, and the numbers a trader looks at first.

const CHECKS = {
  trades: ["Trades", whole],
  profit_factor: ["Profit factor", number],
  sharpe: ["Sharpe", number],
  max_drawdown: ["Max drawdown", percent],
  kill_switch_trips: ["Kill switch tripped", whole],
};

function drawHead({ strategy, symbols, timeframe, data, candles, started }) {
  place("strategy").append(strategy.name);
  const scope = [plural(symbols.length, "symbol"), timeframe];
  if (data) scope.push(`${day(data.start)} → ${day(data.end)} (${whole(data.days)} days)`);
  scope.push(`${whole(candles)} candles`, `run ${started.replace("T", " ").replace("Z", " UTC")}`);
  place("period").textContent = scope.join(" · ");
}

function drawVerdict({ verdict: { passed, checks }, metrics, signal_validation: { status, reason } }) {
  const items = checks.map((check) => {
    const [name, format] = CHECKS[check.name] || [check.name, number];
    const limit = `${name} ${check.relation === ">=" ? "≥" : "≤"} ${format(check.threshold)}`;
    return el(
      "li",
      null,
      el(
        "span",
        { className: `mark ${check.ok ? "gain" : "loss"}`, ariaLabel: check.ok ? "met" : "missed" },
        check.ok ? "✓" : "✗",
      ),
      el("span", null, format(check.value)),
      el("span", { className: "name" }, limit),
    );
  });
  place("verdict").classList.add(passed ? "passed" : "failed");
  place("verdict").append(
    el("span", { className: `badge ${passed ? "gain" : "loss"}` }, passed ? "PASSED" : "FAILED"),
    metrics.kill_switch_trips
      ? el(
          "strong",
          { className: "loss" },
          `Traded ${whole(metrics.traded_days)} of ${plural(Math.round(metrics.days), "day")}: the kill switch tripped`,
        )
      : null,
    el("ul", { className: "checks" }, ...items),
    el("p", { className: "validation muted" }, `Signals against live trading: ${status} – ${reason}.`),
  );
}

const WARNINGS_SHOWN = 5;

function drawWarnings(warnings) {
  if (!warnings.length) return;
  const list = (texts) => el("ul", null, ...texts.map((text) => el("li", null, text)));
  const more = warnings.slice(WARNINGS_SHOWN);
  place("warnings").hidden = false;
  place("warnings").append(
    el("h2", null, plural(warnings.length, "warning")),
    list(warnings.slice(0, WARNINGS_SHOWN)),
  );
  if (more.length)
    place("warnings").append(el("details", null, el("summary", null, `${more.length} more`), list(more)));
}

// Label, value, the line below it, and the number whose sign colours the value.
function cards(m, benchmark) {
  const won = m.win_rate === null ? 0 : Math.round(m.win_rate * m.trades);
  const averages = `win ${signed(m.average_win)}, loss ${signed(m.average_loss)}`;
  const inMarket = `peak ${wholePercent(m.exposure_peak)}, in market ${wholePercent(m.exposure_time)}`;
  const held =
    benchmark && `buy & hold ${signedPercent(benchmark[benchmark.length - 1] / m.initial_equity - 1)}`;
  return [
    ["Total return", signedPercent(m.total_return), held || `${signed(m.net_pnl)} net`, m.total_return],
    ["Annual return", signedPercent(m.annual_return), `volatility ${percent(m.volatility)}`, m.annual_return],
    [
      "Max drawdown",
      percent(-m.max_drawdown),
      `longest ${number(m.max_drawdown_days)} days`,
      -m.max_drawdown,
    ],
    ["Sharpe", number(m.sharpe), "daily returns, √365"],
    ["Sortino", number(m.sortino), "downside only"],
    ["Calmar", number(m.calmar), "annual return / drawdown"],
    ["Profit factor", number(m.profit_factor), `${number(m.total_won)} / ${number(m.total_lost)}`],
    ["Win rate", percent(m.win_rate), `${whole(won)} of ${plural(m.trades, "trade")}`],
    ["Expectancy", signed(m.expectancy), averages, m.expectancy],
    [
      "Trade length",
      hours(m.average_trade_hours),
      `best ${signed(m.best_trade)}, worst ${signed(m.worst_trade)}`,
    ],
    ["Mean exposure", percent(m.exposure_mean), inMarket],
    [
      "Turnover",
      m.turnover === null ? NONE : `${number(m.turnover)}×`,
      `${number(m.traded_notional)} traded`,
    ],
  ];
}

function drawCards(metrics, benchmark) {
  place("cards").append(
    ...cards(metrics, benchmark).map(([label, value, note, toned]) =>
      el(
        "div",
        { className: "card" },
        el("div", { className: "label" }, label),
        el("div", { className: `value ${tone(toned)}` }, value),
        el("div", { className: "note" }, note),
      ),
    ),
  );
}

function drawEquity({ data, equity, metrics }, benchmark) {
  if (!data) {
    place("chart").replaceWith(el("p", { className: "muted" }, "No bar was simulated."));
    return null;
  }
  const chart = new EquityChart(place("chart"), place("legend"), equity, metrics.initial_equity, benchmark);
  const spans = [
    ["1 M", 30],
    ["3 M", 91],
    ["6 M", 182],
    ["All", null],
  ];
  const buttons = spans.map(([label, days]) =>
    button(
      label,
      ({ target }) => {
        buttons.forEach((other) => {
          other.ariaPressed = String(other === target);
        });
        chart.showLastDays(days);
      },
      { ariaPressed: String(days === null) },
    ),
  );
  if (benchmark) {
    const box = el("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => chart.showBenchmark(box.checked));
    const title =
      "Equal shares of the initial equity in every symbol of the run, bought at its first open, without costs";
    place("ranges").append(el("label", { className: "switch", title }, box, "Buy & hold"));
  }
  place("ranges").append(...buttons);
  return chart;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function drawMonths(returns) {
  const months = Object.entries(returns);
  if (!months.length) {
    place("months").append(el("p", { className: "muted" }, "None."));
    return;
  }
  const strongest = Math.max(1e-9, ...months.map(([, value]) => Math.abs(value)));
  const years = [...new Set(months.map(([month]) => month.slice(0, 4)))];
  const shown = (value) => signedPercent(value).replace(" %", "");
  const rows = years.map((year) => {
    const ofYear = months.filter(([month]) => month.startsWith(year)).map(([, value]) => value);
    const total = ofYear.includes(null)
      ? null
      : ofYear.reduce((growth, value) => growth * (1 + value), 1) - 1;
    const cells = MONTHS.map((_, index) => {
      const name = `${year}-${String(index + 1).padStart(2, "0")}`;
      const value = returns[name];
      return value === undefined ? el("td") : heatCell(value, strongest, { title: name }, shown(value));
    });
    return el(
      "tr",
      null,
      el("th", { scope: "row" }, year),
      ...cells,
      el("td", { className: `total ${tone(total)}` }, shown(total)),
    );
  });
  const head = ["", ...MONTHS, "Year"].map((name) => el("th", { scope: "col" }, name));
  place("months").append(
    el(
      "table",
      { className: "months" },
      el("thead", null, el("tr", null, ...head)),
      el("tbody", null, ...rows),
    ),
  );
}
