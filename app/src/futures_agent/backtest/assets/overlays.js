// What is drawn over candles: zones below them, trades above. Plug-ins ("primitives") of the chart library.

// Mostly Okabe & Ito's hues, in the order in which kinds get them; none is that of a gain or a loss.
const ZONE_HUES = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bd6", "#b8a800", "#6b7a8a", "#c2185b"];
const zoneHue = (kind) => ZONE_HUES[kind % ZONE_HUES.length];

// The first place of the ascending `times` that is not before `time`.
function placeOf(times, time) {
  let first = 0,
    last = times.length;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (times[middle] < time) first = middle + 1;
    else last = middle;
  }
  return first;
}

// Shared by both overlays: where a time and a price lie on the canvas, in its pixels.
class Overlay {
  // `layers`: "bottom" is behind the candles, "top" before them, each with the method that draws it.
  constructor(layers) {
    this.layers = layers;
    this.times = [];
    this.barSeconds = 0;
  }

  attached({ chart, series, requestUpdate }) {
    Object.assign(this, { chart, series, requestUpdate });
  }

  paneViews() {
    return Object.entries(this.layers).map(([order, method]) => {
      const draw = (target) => target.useBitmapCoordinateSpace((scope) => this.drawOn(scope, method));
      return { zOrder: () => order, renderer: () => ({ draw }) };
    });
  }

  setBars(times, barSeconds) {
    Object.assign(this, { times, barSeconds });
  }

  // The bar that contains `time`.
  barAt(time) {
    return Math.max(0, placeOf(this.times, time - this.barSeconds + 1));
  }

  // Pixels: the library answers in CSS pixels, the canvas counts in the device's.
  drawOn(scope, method) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range || !this.times.length) return;
    const { context, horizontalPixelRatio: across, verticalPixelRatio: down } = scope;
    context.save();
    this[method]({
      context,
      across,
      down,
      range,
      width: scope.bitmapSize.width,
      height: scope.bitmapSize.height,
      x: (bar) => this.chart.timeScale().logicalToCoordinate(bar) * across,
      y: (price) => this.series.priceToCoordinate(price) * down,
    });
    context.restore();
  }
}

class ZoneOverlay extends Overlay {
  constructor() {
    super({ bottom: "drawZones" });
    Object.assign(this, { zones: [], hidden: new Set() });
  }

  setZones(zones) {
    this.zones = zones;
  }

  hide(key, hidden) {
    if (hidden) this.hidden.add(key);
    else this.hidden.delete(key);
    this.requestUpdate();
  }

  drawZones(canvas) {
    for (const zone of this.zones) {
      if (this.hidden.has(`kind ${zone.kind}`) || this.hidden.has(`length ${zone.timeframeMs}`)) continue;
      const from = this.barAt(zone.start);
      const to = zone.end === null ? Infinity : this.barAt(zone.end);
      if (from > canvas.range.to || to < canvas.range.from) continue;
      this.drawZone(canvas, zone, from, to);
    }
  }

  // From the middle of its first bar to the end of its last, or on for as long as it stands.
  drawZone({ context, across, down, width, x, y }, zone, from, to) {
    const half = (x(1) - x(0)) / 2;
    const left = from === to ? x(from) - half : x(from);
    const right = to === Infinity ? width : x(to) + half;
    const [top, bottom] = [y(zone.top), y(zone.bottom)];
    const hue = zoneHue(zone.kind);
    context.strokeStyle = hue;
    context.lineWidth = Math.max(1, Math.round(across));
    if (zone.top === zone.bottom) {
      context.globalAlpha = 0.95;
      context.lineWidth *= 1.5;
      context.beginPath();
      context.moveTo(left, top);
      context.lineTo(right, top);
      context.stroke();
      return;
    }
    const height = Math.max(bottom - top, down);
    context.globalAlpha = 0.12;
    context.fillStyle = hue;
    context.fillRect(left, top, right - left, height);
    context.globalAlpha = 0.4;
    context.strokeRect(left, top, right - left, height);
  }
}

class TradeOverlay extends Overlay {
  constructor() {
    super({ bottom: "drawPlan", top: "drawTrades" });
    Object.assign(this, { trades: [], selected: null, colours: {} });
  }

  setTrades(trades) {
    this.trades = trades;
    this.selected = null;
  }

  restyle() {
    this.colours = Object.fromEntries(
      ["gain", "loss", "text", "panel"].map((name) => [name, colour(`--${name}`)]),
    );
  }

  // The price scale makes room for the plan of the selected trade while it is in view.
  autoscaleInfo(first, last) {
    const trade = this.selected;
    if (!trade || this.barAt(trade.entry_time / 1000) > last || this.barAt(trade.exit_time / 1000) < first)
      return null;
    const levels = [trade.entry_price, trade.exit_price, trade.stop_price, trade.target_price].filter(
      (level) => level,
    );
    return { priceRange: { minValue: Math.min(...levels), maxValue: Math.max(...levels) } };
  }

  drawTrades(canvas) {
    for (const trade of this.trades) {
      const from = this.barAt(trade.entry_time / 1000);
      const to = this.barAt(trade.exit_time / 1000);
      if (from > canvas.range.to + 1 || to < canvas.range.from - 1) continue;
      this.drawTrade(canvas, trade, from, to, trade === this.selected);
    }
  }

  drawTrade(canvas, trade, from, to, selected) {
    const { context, across, x, y } = canvas;
    const spacing = x(1) - x(0);
    const [left, right] = this.extent(canvas, from, to);
    const [entry, exit] = [y(trade.entry_price), y(trade.exit_price)];
    const result = this.colours[trade.net_pnl < 0 ? "loss" : "gain"];
    if (spacing > 2 * across || selected) this.drawLevels(canvas, trade, left, right, selected);
    context.globalAlpha = 1;
    context.strokeStyle = result;
    context.lineWidth = (selected ? 2.5 : 1.5) * across;
    context.beginPath();
    context.moveTo(left, entry);
    context.lineTo(right, exit);
    context.stroke();
    const size = (selected ? 7 : spacing > 3 * across ? 5 : 3.5) * across;
    this.drawArrow(context, left, entry, size, trade.side === "long" ? 1 : -1);
    this.drawDot(context, right, exit, size * 0.6, result);
  }

  // A trade within one bar gets the bar's width.
  extent({ x }, from, to) {
    const half = from === to ? (x(1) - x(0)) / 2 : 0;
    return [x(from) - half, x(to) + half];
  }

  levelsOf({ target_price: target, stop_price: stop }) {
    const levels = [
      [target, this.colours.gain],
      [stop, this.colours.loss],
    ];
    return levels.filter(([level]) => level);
  }

  // Of the selected trade: from entry to target, and from entry to stop.
  drawPlan(canvas) {
    const trade = this.selected;
    if (!trade) return;
    const { context, y } = canvas;
    const [left, right] = this.extent(
      canvas,
      this.barAt(trade.entry_time / 1000),
      this.barAt(trade.exit_time / 1000),
    );
    const entry = y(trade.entry_price);
    context.globalAlpha = 0.18;
    for (const [level, hue] of this.levelsOf(trade)) {
      context.fillStyle = hue;
      context.fillRect(left, Math.min(entry, y(level)), right - left, Math.abs(y(level) - entry));
    }
  }

  drawLevels({ context, across, y }, trade, left, right, selected) {
    context.globalAlpha = selected ? 1 : 0.75;
    context.lineWidth = (selected ? 1.5 : 1) * across;
    context.setLineDash([4 * across, 3 * across]);
    for (const [level, hue] of this.levelsOf(trade)) {
      context.strokeStyle = hue;
      context.beginPath();
      context.moveTo(left, y(level));
      context.lineTo(right, y(level));
      context.stroke();
    }
    context.setLineDash([]);
  }

  // Up for a long, down for a short; its tip is at the price.
  drawArrow(context, at, tip, size, side) {
    context.fillStyle = this.colours.text;
    context.strokeStyle = this.colours.panel;
    context.lineWidth = size / 5;
    context.beginPath();
    context.moveTo(at, tip);
    context.lineTo(at - size * 0.8, tip + side * size * 1.6);
    context.lineTo(at + size * 0.8, tip + side * size * 1.6);
    context.closePath();
    context.fill();
    context.stroke();
  }

  drawDot(context, at, height, radius, hue) {
    context.fillStyle = hue;
    context.strokeStyle = this.colours.panel;
    context.lineWidth = radius / 3;
    context.beginPath();
    context.arc(at, height, radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}
