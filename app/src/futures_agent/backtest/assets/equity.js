// The equity curve, with buying and holding beside it, over its drawdown, on one time axis.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chartLook() {
  return {
    layout: {
      background: { type: "solid", color: colour("--panel") },
      textColor: colour("--muted"),
      fontFamily: getComputedStyle(document.body).fontFamily,
      panes: { separatorColor: colour("--line") },
    },
    grid: { vertLines: { color: colour("--grid") }, horzLines: { color: colour("--grid") } },
  };
}

const CHART_OPTIONS = {
  autoSize: true,
  rightPriceScale: { borderVisible: false },
  timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, minBarSpacing: 0.05 },
  // The wheel and an upward swipe scroll the page; dragging sideways and pinching move the chart.
  handleScroll: { mouseWheel: false, vertTouchDrag: false },
  handleScale: { mouseWheel: false },
  localization: { locale: "en-US" },
};

function pictureOf(chart) {
  return Object.assign(chart.takeScreenshot(true), { className: "picture" });
}

// One colour above the base, another below it, both fading towards the base.
function twoSided(fade) {
  const [gain, loss] = [colour("--gain"), colour("--loss")];
  return {
    topLineColor: gain,
    topFillColor1: gain + fade,
    topFillColor2: gain + "08",
    bottomLineColor: loss,
    bottomFillColor1: loss + "08",
    bottomFillColor2: loss + fade,
  };
}

function drawLegend(legend, parts) {
  legend.replaceChildren(...parts.flatMap(([label, value]) => [label + " ", el("b", null, String(value))]));
}

class EquityChart {
  constructor(container, legend, curve, initialEquity, benchmark) {
    Object.assign(this, { container, curve, legend, benchmarkValues: benchmark });
    this.times = curve.timestamp.map((ms) => Math.floor(ms / 1000));
    this.indexOf = new Map(this.times.map((time, index) => [time, index]));
    this.chart = LightweightCharts.createChart(container, CHART_OPTIONS);
    this.equity = this.addPane(0, initialEquity, curve.equity, whole);
    this.drawdown = this.addPane(
      1,
      0,
      curve.drawdown.map((depth) => -depth),
      percent,
    );
    this.benchmark = this.addBenchmark();
    const [upper, lower] = this.chart.panes();
    upper.setStretchFactor(3);
    lower.setStretchFactor(1);
    this.drawdown.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.08 } });
    this.chart.subscribeCrosshairMove((at) => this.describe(this.indexOf.get(at.time)));
    this.describe();
    this.restyle();
    this.chart.timeScale().fitContent();
  }

  addPane(pane, base, values, formatter) {
    const series = this.chart.addSeries(
      LightweightCharts.BaselineSeries,
      {
        baseValue: { type: "price", price: base },
        lineWidth: 2,
        priceLineVisible: false,
        priceFormat: { type: "custom", minMove: 0.0001, formatter },
      },
      pane,
    );
    series.setData(this.points(values));
    return series;
  }

  addBenchmark() {
    if (!this.benchmarkValues) return null;
    const series = this.chart.addSeries(
      LightweightCharts.LineSeries,
      {
        lineWidth: 1,
        lineStyle: LightweightCharts.LineStyle.Dashed,
        priceLineVisible: false,
        lastValueVisible: false,
        priceFormat: { type: "custom", minMove: 0.0001, formatter: whole },
      },
      0,
    );
    series.setData(this.points(this.benchmarkValues));
    return series;
  }

  points(values) {
    return values.map((value, index) => ({ time: this.times[index], value }));
  }

  restyle() {
    this.chart.applyOptions(chartLook());
    this.equity.applyOptions(twoSided("55"));
    this.drawdown.applyOptions(twoSided("66"));
    if (this.benchmark) this.benchmark.applyOptions({ color: colour("--muted") });
  }

  picture() {
    return pictureOf(this.chart);
  }

  showBenchmark(visible) {
    this.benchmark.applyOptions({ visible });
  }

  showLastDays(days) {
    const last = this.times[this.times.length - 1];
    if (days === null) this.chart.timeScale().fitContent();
    else
      this.chart
        .timeScale()
        .setVisibleRange({ from: Math.max(this.times[0], last - days * 86400), to: last });
  }

  describe(index = this.times.length - 1) {
    const { timestamp, equity, drawdown, notional, positions } = this.curve;
    const parts = [
      ["", moment(timestamp[index]) + " UTC"],
      ["equity", number(equity[index])],
      ["drawdown", percent(-drawdown[index])],
      ["positions", positions[index]],
      ["notional", number(notional[index])],
    ];
    if (this.benchmarkValues) parts.push(["buy & hold", number(this.benchmarkValues[index])]);
    drawLegend(this.legend, parts);
  }
}
