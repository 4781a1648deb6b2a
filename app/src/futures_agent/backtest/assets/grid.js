// Tables: plain ones, and a sortable one that draws only the rows in view.

const ROW_PX = 30;
const ROWS_BEYOND_VIEW = 8;

function cell(column, row) {
  const value = row[column.key];
  const shown = column.format ? column.format(value, row) : value;
  const names = [column.text ? "text" : "", column.toned ? tone(value) : ""].join(" ").trim();
  // The click on the button is the row's: it makes rows reachable by keyboard.
  const content = column.picks ? el("button", { type: "button", className: "link" }, shown) : String(shown);
  return el("td", { className: names, title: column.text ? String(shown) : "" }, content);
}

function plainTable(columns, rows) {
  const head = columns.map((column) =>
    el("th", { className: column.text ? "text" : "", scope: "col", title: column.title || "" }, column.label),
  );
  const body = rows.map((row) => el("tr", null, ...columns.map((column) => cell(column, row))));
  return el(
    "table",
    { className: "data" },
    el("thead", null, el("tr", null, ...head)),
    el("tbody", null, ...body),
  );
}

function compare(first, second) {
  if (typeof first === "string") return first < second ? -1 : first > second ? 1 : 0;
  return first - second;
}

// Ten thousand rows scroll smoothly because rows out of sight exist only as the height of a spacer.
class SortableGrid {
  constructor(container, columns, { sortBy, descending = true, nothing, onPick = null, onSort = null }) {
    Object.assign(this, { columns, sortBy, descending, nothing, onPick, onSort, rows: [], picked: null });
    this.heads = columns.map((column) => this.headOf(column));
    this.body = el("tbody");
    const widths = columns.map((column) => el("col", { style: `width:${column.width}px` }));
    const width = columns.reduce((sum, column) => sum + column.width, 0);
    const table = el(
      "table",
      { className: "data", style: `min-width:${width}px` },
      el("colgroup", null, ...widths),
      el("thead", null, el("tr", null, ...this.heads)),
      this.body,
    );
    this.view = el("div", { className: "grid", tabIndex: 0 }, table);
    this.view.addEventListener("scroll", () => this.draw());
    container.replaceChildren(this.view);
  }

  headOf(column) {
    const sort = () => {
      this.descending = this.sortBy === column.key ? !this.descending : !column.text;
      this.sortBy = column.key;
      this.show(this.rows);
      if (this.onSort) this.onSort();
    };
    const attributes = { className: column.text ? "text" : "", scope: "col" };
    return el("th", attributes, button(column.label, sort, { title: column.title || column.label }));
  }

  show(rows) {
    const [key, direction] = [this.sortBy, this.descending ? -1 : 1];
    // What is undefined comes last, whichever way the rest is sorted.
    this.rows = [...rows].sort(
      ({ [key]: a }, { [key]: b }) => (a === null) - (b === null) || direction * compare(a, b),
    );
    this.columns.forEach((column, index) => {
      const state = column.key !== key ? "none" : this.descending ? "descending" : "ascending";
      this.heads[index].setAttribute("aria-sort", state);
    });
    this.view.scrollTop = 0;
    this.draw(true);
  }

  // Mark a row and bring it into view.
  pick(row) {
    this.picked = row;
    const at = this.rows.indexOf(row) * ROW_PX;
    const visible = this.view.clientHeight - 2 * ROW_PX;
    if (at < this.view.scrollTop || at > this.view.scrollTop + visible) {
      this.view.scrollTop = Math.max(0, at - visible / 2);
    }
    this.draw(true);
  }

  draw(force = false) {
    const inView = Math.ceil((this.view.clientHeight || 560) / ROW_PX);
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW_PX) - ROWS_BEYOND_VIEW);
    if (!force && Math.abs(first - this.first) < ROWS_BEYOND_VIEW / 2) return;
    this.first = first;
    const last = Math.min(this.rows.length, first + inView + 2 * ROWS_BEYOND_VIEW);
    const drawn = this.rows.slice(first, last).map((row) => this.rowOf(row));
    if (!this.rows.length) {
      drawn.push(
        el("tr", null, el("td", { className: "nothing", colSpan: this.columns.length }, this.nothing)),
      );
    }
    this.body.replaceChildren(this.spacer(first), ...drawn, this.spacer(this.rows.length - last));
  }

  rowOf(row) {
    const node = el(
      "tr",
      { className: row === this.picked ? "picked" : "" },
      ...this.columns.map((column) => cell(column, row)),
    );
    if (this.onPick) {
      node.classList.add("pickable");
      node.addEventListener("click", () => this.onPick(row));
    }
    return node;
  }

  spacer(count) {
    const style = `height:${count * ROW_PX}px`;
    const space = el("td", { className: "spacer", colSpan: this.columns.length, style });
    return el("tr", { hidden: count === 0 }, space);
  }
}
