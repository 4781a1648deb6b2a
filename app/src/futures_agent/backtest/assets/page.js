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
    drawn.push(panel.chart);
  }
  letThemeChange(drawn.filter(Boolean));
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
drawPage();
