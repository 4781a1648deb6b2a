// Runs in a report: uses its controls as a person would, and returns what it saw.

const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => faults.push(event.violatedDirective));
for (const level of ["error", "warn"]) console[level] = (...words) => faults.push(words.join(" "));

const find = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const shown = (selector) => all(selector).length;
const texts = (selector) => all(selector).map((node) => node.innerText);
const rowOf = (grid) => texts(`#${grid} tbody tr:nth-child(2) td`);
const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

async function until(condition) {
  for (let turn = 0; turn < 500 && !condition(); turn++) await new Promise((done) => setTimeout(done, 20));
  if (!condition()) throw new Error(`never: ${condition}`);
  await frame();
}

function sortBy(grid, label) {
  const head = all(`#${grid} th button`).find((node) => node.innerText.startsWith(label));
  head.click();
}

function set(selector, value) {
  const control = find(selector);
  control.value = value;
  control.dispatchEvent(new Event("input"));
  control.dispatchEvent(new Event("change"));
}

function lookAtTables(seen) {
  seen.badge = find(".badge").innerText;
  seen.verdict = find("#verdict").innerText;
  seen.cards = Object.fromEntries(
    all(".card").map((card) => card.innerText.split("\n").filter(Boolean).slice(0, 2)),
  );
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  seen.rows = shown("#trades tbody tr");
  seen.count = find("#trade-count").innerText;
  seen.months = shown("#months tbody td[title]");
  seen.hours = shown("#hours tbody td[title]");
  seen.groups = texts("#groups tbody td:first-child");
  const named = (row) => [row.cells[0].innerText, Number(row.cells[1].innerText)];
  seen.reasons = Object.fromEntries(all("#reasons tbody tr").map(named));
  seen.rejections = texts("#rejections tbody td:nth-child(2)");
  seen.validation = texts("#validation tbody td");
  const grid = find("#trades .grid");
  grid.scrollTop = 30 * 5000;
  grid.dispatchEvent(new Event("scroll"));
  seen.rowsInTheMiddle = shown("#trades tbody tr");
  const net = texts("#trades th button").findIndex((label) => label.startsWith("Net"));
  sortBy("trades", "Net");
  seen.best = rowOf("trades")[net];
  sortBy("trades", "Net");
  seen.worst = rowOf("trades")[net];
  sortBy("symbols", "Trades");
  seen.busiest = rowOf("symbols")[0];
}

function useFilters(seen) {
  const filtered = (selector, value) => {
    set(selector, value);
    const found = find("#trade-count").innerText;
    set(selector, "");
    return Number(found.split(" ")[0].replace(",", ""));
  };
  const [symbols, sides, exits, reasons, outcomes] = all("#filters select").map(
    (_, index) => `#filters select:nth-of-type(${index + 1})`,
  );
  const [, first] = texts(`${symbols} option`);
  seen.filtered = {
    symbol: [first, filtered(symbols, first || "")],
    short: filtered(sides, "short"),
    stop: filtered(exits, "STOP"),
    won: filtered(outcomes, "won"),
    lost: filtered(outcomes, "lost"),
    text: filtered("#filters [type=search]", "short stop"),
    from: filtered("#filters [type=date]", "2026-01-20"),
    to: filtered("#filters [type=date]:nth-of-type(2)", "2026-01-20"),
  };
  if (!find(reasons).hidden) seen.filtered.reason = filtered(reasons, find(reasons).options[1].value);
  set(sides, "short");
  seen.sides = [...new Set(texts("#trades tbody td:nth-child(2)"))];
  window.Blob = class {
    constructor(parts) {
      [seen.csv] = parts;
    }
  };
  URL.createObjectURL = () => "#";
  all("#filters button")
    .find((node) => node.innerText === "Save as CSV")
    .click();
  seen.csv = seen.csv.trim().split("\n");
  all("#filters button")
    .find((node) => node.innerText === "Reset")
    .click();
  seen.reset = find("#trade-count").innerText;
}

const picture = () =>
  all("#symbol-chart canvas")
    .map((canvas) => canvas.toDataURL())
    .join();

async function useChart(seen) {
  seen.charted = !find("#chart-panel").hidden;
  if (!seen.charted) return;
  const { symbols, timeframe_ms: stepMs } = JSON.parse(find("#charts").textContent);
  const last = symbols[symbols.length - 1];
  seen.candles = (await unpackSymbol(last, stepMs)).candles;
  seen.zones = (await unpackSymbol(last, stepMs)).zones.length;
  const close = seen.candles[seen.candles.length - 1].close.toFixed(2);
  set("#chart-controls select", last.symbol);
  await until(() => find("#symbol-legend").innerText.includes(close));
  seen.legend = find("#symbol-legend").innerText;
  seen.switches = texts("#zone-legend label").map((text) => text.trim());
  const before = picture();
  for (const box of all("#zone-legend input")) box.click();
  await frame();
  seen.zonesToggled = picture() !== before;
  all("#chart-controls button")
    .find((node) => node.innerText === "H4")
    .click();
  seen.h4 = joined(seen.candles, 14400000).length;
  const line = () => find("#trade-line").innerText;
  find("#trades tbody tr:nth-child(3)").click();
  await until(() => line().includes("net"));
  seen.picked = texts("#trades tr.picked td").slice(0, 2);
  seen.tradeLine = line();
  all("#chart-controls button")
    .find((node) => node.innerText === "›")
    .click();
  await until(() => line() !== seen.tradeLine);
  seen.nextLine = line();
  sortBy("symbols", "Symbol");
  find("#symbols tbody tr:nth-child(2) button").click();
  await until(() => !line().includes("net"));
  seen.opened = [rowOf("symbols")[0], find("#chart-controls select").value];
}

function print(seen) {
  const theme = () => document.documentElement.dataset.theme;
  const before = theme();
  dispatchEvent(new Event("beforeprint"));
  seen.printed = [shown("canvas.picture"), theme()];
  dispatchEvent(new Event("afterprint"));
  seen.afterPrint = [shown("canvas.picture"), theme() === before];
}

async function probe() {
  await frame();
  const seen = { faults, canvases: shown("#chart canvas") };
  const theme = document.documentElement.dataset.theme;
  find("#theme").click();
  seen.toggled = theme !== document.documentElement.dataset.theme;
  find("#ranges button").click();
  lookAtTables(seen);
  await useChart(seen);
  print(seen);
  useFilters(seen);
  await frame();
  return seen;
}
