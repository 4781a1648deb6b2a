"use strict";
// Building elements, formatting numbers, and a sortable table that draws only the rows in view.

const ROW_PX = 30;
const ROWS_BEYOND_VIEW = 8;

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name in node) node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const NONE = "–";
const numbers = (options) => new Intl.NumberFormat("en-US", { signDisplay: "negative", ...options });
const WHOLE = numbers({ maximumFractionDigits: 0 });
const TWO = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const TWO_SIGNED = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
const SIX_DIGITS = numbers({ maximumSignificantDigits: 6 });
const minus = (text) => text.replace("-", "−");
const known = (format) => (value) => (value === null || value === undefined ? NONE : minus(format(value)));

const number = known((value) => TWO.format(value));
const whole = known((value) => WHOLE.format(value));
const signed = known((value) => TWO_SIGNED.format(value));
const price = known((value) => (value === 0 ? NONE : SIX_DIGITS.format(value)));
const percent = known((value) => TWO.format(100 * value) + " %");
const wholePercent = known((value) => WHOLE.format(100 * value) + " %");
const signedPercent = known((value) => TWO_SIGNED.format(100 * value) + " %");
const hours = known((value) => (value < 48 ? value.toFixed(1) + " h" : (value / 24).toFixed(1) + " d"));
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const tone = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");

function cell(column, row) {
  const value = row[column.key];
  const shown = column.format ? column.format(value) : value;
  const names = [column.text ? "text" : "", column.toned ? tone(value) : ""].join(" ").trim();
  return el("td", { className: names, title: column.text ? String(shown) : "" }, String(shown));
}

function plainTable(columns, rows) {
  const head = columns.map((column) => el("th", { className: column.text ? "text" : "" }, column.label));
  const body = rows.map((row) => el("tr", null, ...columns.map((column) => cell(column, row))));
  return el("table", { className: "data" },
    el("thead", null, el("tr", null, ...head)), el("tbody", null, ...body));
}

function compare(first, second) {
  if (typeof first === "string") return first.localeCompare(second);
  return first - second;
}

// Ten thousand rows scroll smoothly because rows out of sight exist only as the height of a spacer.
class SortableGrid {
  constructor(container, columns, { sortBy, descending = true, nothing }) {
    Object.assign(this, { columns, sortBy, descending, nothing, rows: [] });
    this.heads = columns.map((column) => this.headOf(column));
    this.body = el("tbody");
    const widths = columns.map((column) => el("col", { style: `width:${column.width}px` }));
    const width = columns.reduce((sum, column) => sum + column.width, 0);
    const table = el("table", { className: "data", style: `min-width:${width}px` },
      el("colgroup", null, ...widths), el("thead", null, el("tr", null, ...this.heads)), this.body);
    this.view = el("div", { className: "grid", tabIndex: 0 }, table);
    this.view.addEventListener("scroll", () => this.draw());
    container.replaceChildren(this.view);
  }

  headOf(column) {
    const button = el("button", { type: "button", title: column.title || column.label }, column.label);
    button.addEventListener("click", () => {
      this.descending = this.sortBy === column.key ? !this.descending : !column.text;
      this.sortBy = column.key;
      this.show(this.rows);
    });
    return el("th", { className: column.text ? "text" : "", scope: "col" }, button);
  }

  show(rows) {
    const [key, direction] = [this.sortBy, this.descending ? -1 : 1];
    // What is undefined comes last, whichever way the rest is sorted.
    this.rows = [...rows].sort(({ [key]: a }, { [key]: b }) =>
      (a === null) - (b === null) || direction * compare(a, b));
    this.columns.forEach((column, index) => {
      const state = column.key !== key ? "none" : this.descending ? "descending" : "ascending";
      this.heads[index].setAttribute("aria-sort", state);
    });
    this.view.scrollTop = 0;
    this.draw(true);
  }

  draw(force = false) {
    const inView = Math.ceil((this.view.clientHeight || 560) / ROW_PX);
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW_PX) - ROWS_BEYOND_VIEW);
    if (!force && Math.abs(first - this.first) < ROWS_BEYOND_VIEW / 2) return;
    this.first = first;
    const last = Math.min(this.rows.length, first + inView + 2 * ROWS_BEYOND_VIEW);
    const drawn = this.rows.slice(first, last).map((row) =>
      el("tr", null, ...this.columns.map((column) => cell(column, row))));
    if (!this.rows.length) {
      drawn.push(el("tr", null, el("td", { className: "nothing", colSpan: this.columns.length }, this.nothing)));
    }
    this.body.replaceChildren(this.spacer(first), ...drawn, this.spacer(this.rows.length - last));
  }

  spacer(count) {
    const style = `height:${count * ROW_PX}px`;
    const space = el("td", { className: "spacer", colSpan: this.columns.length, style });
    return el("tr", { hidden: count === 0 }, space);
  }
}
