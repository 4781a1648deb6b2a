// Where the money came from and went: costs, groups of trades, times of day, refused entries; and the rules.

// A waterfall: each bar starts where the one before it ended.
function drawCosts(metrics) {
  const moves = metrics.gross_pnl + metrics.slippage;
  const steps = [
    ["Price moves", moves],
    ["Slippage", -metrics.slippage],
    ["Fees", metrics.liquidation_fees - metrics.fees],
    ["Liquidation fees", -metrics.liquidation_fees],
    ["Funding", metrics.funding],
  ].filter(([label, amount]) => amount || label !== "Liquidation fees");
  let level = 0;
  const bars = steps.map(([label, amount]) => ({ label, amount, from: level, to: (level += amount) }));
  bars.push({ label: "Net", amount: metrics.net_pnl, from: 0, to: metrics.net_pnl, emphasis: " sum" });
  const levels = bars.flatMap(({ from, to }) => [from, to]);
  const low = Math.min(...levels);
  const scale = 100 / (Math.max(...levels) - low || 1);
  const cells = bars.flatMap(({ label, amount, from, to, emphasis = "" }) => {
    const extent = `left:${(Math.min(from, to) - low) * scale}%;width:${Math.abs(amount) * scale}%`;
    const bar = el("i", {
      style: `${extent};background:var(--${amount < 0 ? "loss" : "gain"})`,
      hidden: !amount,
    });
    return [
      el("span", { className: emphasis }, label),
      el("span", { className: "track" }, bar),
      el("span", { className: `amount ${tone(amount)}${emphasis}` }, signed(amount)),
    ];
  });
  place("costs").append(el("div", { className: "flow" }, ...cells));
  const costs = metrics.slippage + metrics.fees - metrics.funding;
  const perTraded = metrics.traded_notional
    ? `${number((10000 * costs) / metrics.traded_notional)} bps of what was traded`
    : "";
  const ofMoves = moves > 0 ? `${percent(costs / moves)} of the price moves` : "";
  const said = [perTraded, ofMoves].filter(Boolean).join(", ");
  if (said) place("costs").append(el("p", { className: "muted note" }, `Costs: ${said}.`));
}

const GROUP_COLUMNS = [
  { key: "trades", label: "Trades", format: whole },
  { key: "win_rate", label: "Win rate", format: percent },
  { key: "profit_factor", label: "Profit factor", format: number },
  { key: "expectancy", label: "Per trade", format: signed, toned: true },
  { key: "net_pnl", label: "Net", format: signed, toned: true },
];

function groupTable(label, groups) {
  return plainTable([{ key: "name", label, text: true }, ...GROUP_COLUMNS], groups);
}

function drawGroups({ by_side: sides, by_exit_reason: exits, by_reason: reasons }) {
  place("groups").append(groupTable("Side", sides), groupTable("Exit", exits));
  if (!reasons.length) return;
  place("reasons-panel").hidden = false;
  place("reasons").append(
    groupTable(
      "Reason",
      [...reasons].sort((a, b) => b.trades - a.trades),
    ),
  );
}

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

// Net result of the listed trades by weekday and hour of entry, UTC.
function drawHours(trades) {
  const cells = WEEKDAYS.map(() => Array.from({ length: 24 }, () => ({ net: 0, count: 0 })));
  for (const trade of trades) {
    const entered = new Date(trade.entry_time);
    const slot = cells[(entered.getUTCDay() + 6) % 7][entered.getUTCHours()];
    slot.net += trade.net_pnl;
    slot.count += 1;
  }
  const strongest = Math.max(1e-9, ...cells.flat().map(({ net }) => Math.abs(net)));
  const rows = cells.map((slots, weekday) =>
    el(
      "tr",
      null,
      el("th", { scope: "row" }, WEEKDAYS[weekday]),
      ...slots.map(({ net, count }, hour) => {
        const when = `${WEEKDAYS[weekday]} ${String(hour).padStart(2, "0")} h`;
        const title = `${when}: ${plural(count, "trade")}, net ${signed(net)}`;
        return heatCell(net, strongest, { title }, count ? short(net) : "");
      }),
    ),
  );
  const heads = ["", ...Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0"))];
  place("hours").append(
    el(
      "table",
      { className: "months hours" },
      el("thead", null, el("tr", null, ...heads.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", null, ...rows),
    ),
  );
}

function drawRejections({ rejections, metrics }) {
  const refused = Object.entries(rejections).map(([reason, count]) => ({ reason, count }));
  const total = refused.reduce((sum, { count }) => sum + count, 0);
  const asked = total + metrics.trades;
  const rows = refused.map((row) => ({ ...row, share: row.count / asked })).sort((a, b) => b.count - a.count);
  const columns = [
    { key: "reason", label: "Reason", text: true },
    { key: "count", label: "Entries", format: whole },
    { key: "share", label: "Of all asked for", format: percent },
  ];
  place("rejections").append(
    rows.length ? plainTable(columns, rows) : el("p", { className: "muted" }, "None."),
  );
  if (asked) {
    place("rejections").append(
      el(
        "p",
        { className: "muted note" },
        `${whole(total)} of ${whole(asked)} entries that could have been opened were refused.`,
      ),
    );
  }
}

// The live decisions of the last day that the run does not reproduce, and why.
function drawValidation({ signal_validation: { differing, by_reason: counts } }) {
  if (!differing.length) return;
  place("validation-panel").hidden = false;
  const columns = ["close", "symbol", "why", "detail", "live", "backtest"].map((key) => ({
    key,
    label: key[0].toUpperCase() + key.slice(1),
    text: true,
  }));
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  place("validation").append(plainTable(columns, differing));
  if (all > differing.length) {
    place("validation").append(
      el("p", { className: "muted note" }, `The first ${whole(differing.length)} of ${whole(all)}.`),
    );
  }
}

function settingText(value) {
  if (Array.isArray(value)) return value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function pairs(entries) {
  const rows = entries.map(([key, value]) =>
    el(
      "tr",
      null,
      el("td", { className: "text" }, key),
      el("td", { className: "text wrap" }, settingText(value)),
    ),
  );
  return el("table", { className: "data" }, el("tbody", null, ...rows));
}

function drawRules(result) {
  place("assumptions").append(...result.assumptions.map((rule) => el("li", null, rule)));
  const params = Object.entries(result.strategy.params);
  place("params").append(params.length ? pairs(params) : el("p", { className: "muted" }, "None."));
  place("settings").append(pairs(Object.entries(result.settings)));
  const { app, git, python, numpy, numba } = result.versions;
  const facts = [
    `Run ${result.run_id}`,
    `${number(result.duration_s)} s`,
    `app ${app}`,
    git && `git ${git.slice(0, 12)}`,
    `Python ${python}`,
    `NumPy ${numpy}`,
    numba && `numba ${numba}`,
    `settings ${result.settings_hash.slice(0, 12)}`,
    result.strategy.code && `code ${result.strategy.code.slice(0, 12)}`,
    `orders ${result.order_list_hash.slice(0, 12)}`,
    `model ${result.model_hash || "none"}`,
  ];
  place("provenance").textContent = facts.filter(Boolean).join(" · ");
}
