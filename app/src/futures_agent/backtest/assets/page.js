// Putting the page together from the embedded result and charts.

function embedded(id) {
  return JSON.parse(place(id).textContent);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  place("theme").textContent = name === "dark" ? "☀ Light" : "☾ Dark";
}

function drawPage() {
  const [result, charts] = [embedded("data"), embedded("charts")];
  const trades = tradeRows(result);
  const benchmark = charts && charts.benchmark;
  drawHead(result);
  drawVerdict(result);
  drawWarnings(result.warnings);
  drawCards(result.metrics, benchmark);
  const drawn = [drawEquity(result, benchmark)];
  drawMonths(result.monthly_returns);
  drawCosts(result.metrics);
  drawGroups(result);
  drawHours(trades);
  drawRejections(result);
  drawRules(result);

  let panel = null;
  const reveal = () => place("chart-panel").scrollIntoView({ block: "start" });
  drawSymbols(result.by_symbol, (symbol) => {
    if (!panel || !panel.packed.has(symbol)) return;
    panel.open(symbol);
    reveal();
  });
  const walk = drawTrades(result, trades, (trade) => {
    if (!panel) return;
    panel.showTrade(trade);
    reveal();
  });
  if (charts && charts.symbols.length) {
    place("chart-panel").hidden = false;
    panel = new ChartPanel(charts, trades, walk);
    const busiest = result.by_symbol.reduce((most, each) => (each.trades > most.trades ? each : most));
    panel.open(panel.packed.has(busiest.name) ? busiest.name : charts.symbols[0].symbol);
    drawn.push(panel);
  }
  place("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    drawn.filter(Boolean).forEach((chart) => chart.restyle());
  });
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
drawPage();
