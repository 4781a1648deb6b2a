// Putting the page together from the embedded result and charts.

function embedded(id) {
  return JSON.parse(place(id).textContent);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  place("theme").textContent = name === "dark" ? "☀ Light" : "☾ Dark";
}

function letThemeChange(charts) {
  const theme = () => document.documentElement.dataset.theme;
  const restyle = (name) => {
    setTheme(name);
    charts.forEach((chart) => chart.restyle());
  };
  place("theme").addEventListener("click", () => restyle(theme() === "dark" ? "light" : "dark"));

  // Charts redraw with the next frame, which is after a page was printed: paper gets pictures of them.
  let onScreen = theme();
  addEventListener("beforeprint", () => {
    onScreen = theme();
    restyle("light");
    charts.forEach((chart) => chart.container.after(chart.picture()));
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll(".picture").forEach((node) => node.remove());
    restyle(onScreen);
  });
}

// The panel of a symbol's chart, showing the most traded one; null where there are no candles to show.
function drawChartPanel({ by_symbol: groups }, charts, trades, walk) {
  if (!charts || !charts.symbols.length) return null;
  place("chart-panel").hidden = false;
  if (!("DecompressionStream" in window)) {
    place("trade-line").textContent =
      "This browser cannot unpack candles; Chrome 80, Firefox 113 and Safari 16.4 can.";
    return null;
  }
  const panel = new ChartPanel(charts, trades, walk);
  const busiest = groups.reduce((most, each) => (each.trades > most.trades ? each : most));
  panel.open(panel.packed.has(busiest.name) ? busiest.name : charts.symbols[0].symbol);
  return panel;
}

// The tables of symbols and trades, and the chart that a click in them leads to.
function drawListings(result, charts, trades) {
  let panel = null;
  const lead = (symbol, show) => {
    if (!panel || !panel.packed.has(symbol)) return;
    show();
    place("chart-panel").scrollIntoView({ block: "start" });
  };
  drawSymbols(result.by_symbol, (symbol) => lead(symbol, () => panel.open(symbol)));
  const walk = drawTrades(result, trades, (trade) => lead(trade.symbol, () => panel.showTrade(trade)));
  panel = drawChartPanel(result, charts, trades, walk);
  return panel && panel.chart;
}

function drawPage() {
  const [result, charts] = [embedded("data"), embedded("charts")];
  const trades = tradeRows(result);
  const benchmark = charts && charts.benchmark;
  drawHead(result);
  drawVerdict(result);
  drawWarnings(result.warnings);
  drawCards(result.metrics, benchmark);
  const equity = drawEquity(result, benchmark);
  drawMonths(result.monthly_returns);
  drawCosts(result.metrics);
  drawGroups(result);
  drawHours(trades);
  drawRejections(result);
  drawValidation(result);
  drawRules(result);
  const symbolChart = drawListings(result, charts, trades);
  letThemeChange([equity, symbolChart].filter(Boolean));
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
drawPage();
