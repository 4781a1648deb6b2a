// Candles of one symbol with its volume, zones and trades.

const FIRST_VIEW_BARS = 250;
const MARGIN_BARS = 40; // beside a trade that is shown

class SymbolChart {
  constructor(container, legend) {
    Object.assign(this, { container, legend });
    this.chart = LightweightCharts.createChart(container, CHART_OPTIONS);
    this.candles = this.chart.addSeries(LightweightCharts.CandlestickSeries, {
      borderVisible: false,
      priceLineVisible: false,
    });
    this.volume = this.chart.addSeries(LightweightCharts.HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      priceLineVisible: false,
      lastValueVisible: false,
    });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.2 } });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    this.zones = new ZoneOverlay();
    this.trades = new TradeOverlay();
    this.candles.attachPrimitive(this.zones);
    this.candles.attachPrimitive(this.trades);
    // The wheel scrolls the page until the chart is clicked, then zooms until the pointer leaves.
    const zoom = (mouseWheel) => this.chart.applyOptions({ handleScale: { mouseWheel } });
    container.addEventListener("pointerdown", () => zoom(true));
    container.addEventListener("pointerleave", () => zoom(false));
    this.chart.subscribeCrosshairMove((at) => this.describe(at.logical));
    this.bars = [];
    this.restyle();
  }

  // `source`: candles and zones of `unpackSymbol`, decimals, and the symbol's trades.
  setSource(source) {
    this.source = source;
    const minMove = 10 ** -source.decimals;
    this.candles.applyOptions({ priceFormat: { type: "price", precision: source.decimals, minMove } });
    this.zones.setZones(source.zones);
    this.trades.setTrades(source.trades);
  }

  setTimeframe(lengthMs) {
    this.lengthMs = lengthMs;
    this.bars = joined(this.source.candles, lengthMs);
    const times = this.bars.map((bar) => bar.time);
    this.zones.setBars(times, lengthMs / 1000);
    this.trades.setBars(times, lengthMs / 1000);
    this.candles.setData(this.bars);
    this.drawVolume();
    this.describe();
  }

  // `from` and `to`: seconds; widened to what can be read.
  showPeriod(from, to) {
    const [first, last] = [this.zones.barAt(from), this.zones.barAt(to)];
    const margin = Math.max(MARGIN_BARS, (last - first) / 2);
    this.chart.timeScale().setVisibleLogicalRange({ from: first - margin, to: last + margin });
    this.chart.priceScale("right").applyOptions({ autoScale: true });
  }

  showNewest() {
    const last = this.bars.length;
    this.chart
      .timeScale()
      .setVisibleLogicalRange({ from: Math.max(0, last - FIRST_VIEW_BARS), to: last + 5 });
  }

  select(trade) {
    this.trades.selected = trade;
    if (trade) this.showPeriod(trade.entry_time / 1000, trade.exit_time / 1000);
    this.trades.requestUpdate();
  }

  visiblePeriod() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const at = (bar) => this.bars[Math.min(this.bars.length - 1, Math.max(0, Math.round(bar)))].time;
    return range && { from: at(range.from), to: at(range.to) };
  }

  setVisiblePeriod({ from, to }) {
    this.chart.timeScale().setVisibleLogicalRange({ from: this.zones.barAt(from), to: this.zones.barAt(to) });
  }

  drawVolume() {
    const [up, down] = [colour("--gain") + "55", colour("--loss") + "55"];
    this.volume.setData(
      this.bars.map(({ time, volume, open, close }) => ({
        time,
        value: volume,
        color: close < open ? down : up,
      })),
    );
  }

  restyle() {
    const [up, down] = [colour("--gain"), colour("--loss")];
    this.chart.applyOptions(chartLook());
    this.candles.applyOptions({ upColor: up, wickUpColor: up, downColor: down, wickDownColor: down });
    this.trades.restyle();
    this.drawVolume();
  }

  picture() {
    return pictureOf(this.chart);
  }

  describe(logical) {
    const bar = this.bars[logical === undefined ? this.bars.length - 1 : Math.round(logical)];
    if (!bar) return;
    const exact = (value) => value.toFixed(this.source.decimals);
    drawLegend(this.legend, [
      ["", moment(bar.time * 1000) + " UTC"],
      ["O", exact(bar.open)],
      ["H", exact(bar.high)],
      ["L", exact(bar.low)],
      ["C", exact(bar.close)],
      ["volume ≈", short(bar.volume)],
    ]);
  }
}
