// The panel around a symbol's chart: which symbol, timeframe and zones, and which trade is shown.

const DAY_LENGTH_MS = 86400000;
const LENGTHS = [
  ["M15", 900000],
  ["H1", 3600000],
  ["H4", 14400000],
  ["D1", DAY_LENGTH_MS],
];

class ChartPanel {
  // `walk(step)` asks for the trade before (−1) or after (+1) the selected one.
  constructor(charts, trades, walk) {
    this.charts = charts;
    this.packed = new Map(charts.symbols.map((packed) => [packed.symbol, packed]));
    this.opened = new Map();
    this.trades = new Map(
      charts.symbols.map(({ symbol }) => [symbol, trades.filter((trade) => trade.symbol === symbol)]),
    );
    this.symbol = null;
    this.lengthMs = charts.timeframe_ms;
    this.chart = new SymbolChart(place("symbol-chart"), place("symbol-legend"));
    this.drawControls(walk);
  }

  drawControls(walk) {
    const options = [...this.packed.keys()].sort().map((symbol) => {
      const count = this.trades.get(symbol).length;
      return el("option", { value: symbol }, count ? `${symbol} (${plural(count, "trade")})` : symbol);
    });
    this.choice = el("select", { ariaLabel: "Symbol" }, ...options);
    this.choice.addEventListener("change", () => this.open(this.choice.value));
    const lengths = LENGTHS.filter(([, ms]) => ms >= this.charts.timeframe_ms);
    this.lengths = lengths.map(([name, ms]) =>
      button(name, () => this.setTimeframe(ms), { ariaPressed: String(ms === this.lengthMs), value: ms }),
    );
    this.walkers = [
      ["‹", -1, "Previous trade of the list"],
      ["›", 1, "Next trade of the list"],
    ].map(([label, step, title]) => button(label, () => walk(step), { title, ariaLabel: title }));
    place("chart-controls").append(
      this.choice,
      el("span", { className: "ranges" }, ...this.lengths),
      el("span", { className: "ranges" }, ...this.walkers),
    );
  }

  async open(symbol) {
    await this.load(symbol);
    this.describeTrade(null);
    this.chart.select(null);
    this.chart.showNewest();
  }

  async showTrade(trade) {
    await this.load(trade.symbol);
    this.chart.select(trade);
    this.describeTrade(trade);
  }

  async load(symbol) {
    if (symbol === this.symbol) return;
    this.symbol = this.choice.value = symbol;
    const packed = this.packed.get(symbol);
    if (!this.opened.has(symbol)) this.opened.set(symbol, unpackSymbol(packed, this.charts.timeframe_ms));
    const { candles, zones } = await this.opened.get(symbol);
    if (symbol !== this.symbol) return; // another was asked for meanwhile
    this.chart.setSource({ candles, zones, decimals: packed.decimals, trades: this.trades.get(symbol) });
    this.chart.setTimeframe(this.lengthMs);
    this.drawZoneLegend(zones, packed);
  }

  setTimeframe(lengthMs) {
    const period = this.chart.visiblePeriod();
    this.lengthMs = lengthMs;
    this.lengths.forEach((node) => {
      node.ariaPressed = String(Number(node.value) === lengthMs);
    });
    this.chart.setTimeframe(lengthMs);
    if (period) this.chart.setVisiblePeriod(period);
  }

  // One switch per kind of zone and, where there are several, per timeframe.
  drawZoneLegend(zones, packed) {
    const count = (test) => zones.filter(test).length;
    const kinds = this.charts.zone_kinds.map((name, kind) =>
      this.zoneSwitch(
        `kind ${kind}`,
        name,
        count((zone) => zone.kind === kind),
        zoneHue(kind),
      ),
    );
    const found = LENGTHS.filter(([, ms]) => zones.some((zone) => zone.timeframeMs === ms));
    const lengths =
      found.length < 2
        ? []
        : found.map(([name, ms]) =>
            this.zoneSwitch(
              `length ${ms}`,
              `of ${name}`,
              count((zone) => zone.timeframeMs === ms),
              null,
            ),
          );
    const notes = [
      packed.zones_left_out && `${whole(packed.zones_left_out)} older zones are left out`,
      packed.zones_failed && `the strategy failed to draw zones here: ${packed.zones_failed}`,
    ]
      .filter(Boolean)
      .map((text) => el("span", { className: "muted" }, text));
    const title = kinds.length ? [el("b", null, "Zones")] : [];
    place("zone-legend").replaceChildren(...title, ...lengths, ...kinds, ...notes);
  }

  zoneSwitch(key, name, count, hue) {
    const box = el("input", { type: "checkbox", checked: !this.chart.zones.hidden.has(key) });
    box.addEventListener("change", () => this.chart.zones.hide(key, !box.checked));
    const swatch = hue && el("i", { className: "swatch", style: `background:${hue}` });
    return el("label", { className: "switch" }, box, swatch, `${name} `, el("small", null, whole(count)));
  }

  describeTrade(trade) {
    if (!trade) {
      place("trade-line").textContent =
        "▲ long and ▼ short entries, ● exits; dashed: stops and targets. " +
        "Drag to move; click, then turn the wheel to zoom. A click on a trade below shows its plan.";
      return;
    }
    const levels = [
      ["stop", trade.stop_price],
      ["target", trade.target_price],
    ]
      .filter(([, level]) => level)
      .map(([name, level]) => `${name} ${price(level)}`);
    const facts = [
      `${trade.side} ${price(trade.quantity)} at ${price(trade.entry_price)}`,
      ...levels,
      `out at ${price(trade.exit_price)} (${trade.exit_reason})`,
      `after ${hours(trade.hours)}`,
      trade.why,
    ];
    place("trade-line").replaceChildren(
      el("b", null, trade.symbol),
      ` ${facts.filter(Boolean).join(" · ")} · net `,
      el("b", { className: tone(trade.net_pnl) }, signed(trade.net_pnl)),
    );
  }
}
