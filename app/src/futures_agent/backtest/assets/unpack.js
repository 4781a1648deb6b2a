// Candles and zones of a symbol, as backtest/packing.py and backtest/charts.py packed them.

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Each column: its width in bytes, then as many planes of `count` bytes, of zigzag numbers.
function unpackColumns(raw, count) {
  const columns = [];
  for (let at = 0; at < raw.length;) {
    const width = raw[at++];
    const column = new Float64Array(count);
    for (let plane = 0, scale = 1; plane < width; plane++, scale *= 256, at += count) {
      for (let row = 0; row < count; row++) column[row] += raw[at + row] * scale;
    }
    for (let row = 0; row < count; row++) {
      const folded = column[row];
      column[row] = folded % 2 ? -(folded + 1) / 2 : folded / 2;
    }
    columns.push(column);
  }
  return columns;
}

function unpackCandles(raw, packed, stepMs) {
  const [steps, opens, bodies, above, below, codes] = unpackColumns(raw, packed.count);
  const unit = 10 ** packed.decimals;
  const [low, high] = packed.volume_log;
  let time = packed.start,
    before = 0;
  return Array.from(steps, (step, row) => {
    time += step * stepMs;
    const open = before + opens[row];
    const close = (before = open + bodies[row]);
    return {
      time: time / 1000,
      open: open / unit,
      high: (Math.max(open, close) + above[row]) / unit,
      low: (Math.min(open, close) - below[row]) / unit,
      close: close / unit,
      volume: codes[row] && Math.exp(low + ((codes[row] - 1) / 254) * (high - low)),
    };
  });
}

function unpackZones(raw, packed, stepMs) {
  const [kinds, minutes, starts, ends, tops, heights] = unpackColumns(raw, packed.zone_count);
  const unit = 10 ** packed.decimals;
  let start = packed.start,
    top = 0;
  return Array.from(kinds, (kind, row) => {
    start += starts[row] * stepMs;
    top += tops[row];
    return {
      kind,
      timeframeMs: minutes[row] * 60000,
      start: start / 1000,
      end: ends[row] ? (start + (ends[row] - 1) * stepMs) / 1000 : null,
      top: top / unit,
      bottom: (top - heights[row]) / unit,
    };
  });
}

async function unpackSymbol(packed, stepMs) {
  const [candles, zones] = await Promise.all([inflate(packed.candles), inflate(packed.zones)]);
  return { candles: unpackCandles(candles, packed, stepMs), zones: unpackZones(zones, packed, stepMs) };
}

// Candles joined to longer ones; one that lacks a part has the rest.
function joined(candles, lengthMs) {
  const seconds = lengthMs / 1000;
  const longer = [];
  for (const candle of candles) {
    const time = candle.time - (candle.time % seconds);
    const last = longer[longer.length - 1];
    if (!last || last.time !== time) {
      longer.push({ ...candle, time });
    } else {
      last.high = Math.max(last.high, candle.high);
      last.low = Math.min(last.low, candle.low);
      last.close = candle.close;
      last.volume += candle.volume;
    }
  }
  return longer;
}
