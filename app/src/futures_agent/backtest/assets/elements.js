"use strict";
// Building elements, and numbers as a person reads them.

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const place = (id) => document.getElementById(id);

function button(label, onClick, attributes) {
  const node = el("button", { type: "button", ...attributes }, label);
  node.addEventListener("click", onClick);
  return node;
}

const NONE = "–";
const numbers = (options) => new Intl.NumberFormat("en-US", { signDisplay: "negative", ...options });
const WHOLE = numbers({ maximumFractionDigits: 0 });
const TWO = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const TWO_SIGNED = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
const SIX_DIGITS = numbers({ maximumSignificantDigits: 6 });
const SHORT = numbers({ notation: "compact", maximumSignificantDigits: 3 });
const minus = (text) => text.replace("-", "−");
const known = (format) => (value) => (value === null || value === undefined ? NONE : minus(format(value)));

const number = known((value) => TWO.format(value));
const whole = known((value) => WHOLE.format(value));
const signed = known((value) => TWO_SIGNED.format(value));
const price = known((value) => (value === 0 ? NONE : SIX_DIGITS.format(value)));
const short = known((value) => SHORT.format(value));
const percent = known((value) => TWO.format(100 * value) + " %");
const wholePercent = known((value) => WHOLE.format(100 * value) + " %");
const signedPercent = known((value) => TWO_SIGNED.format(100 * value) + " %");
const hours = known((value) => (value < 48 ? value.toFixed(1) + " h" : (value / 24).toFixed(1) + " d"));
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const day = (text) => text.slice(0, 10);
const tone = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");
const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;

// A cell whose fill says how far its number is from zero.
function heatCell(value, strongest, attributes, shown) {
  const strength = Math.min(60, 8 + (52 * Math.abs(value)) / strongest);
  const fill = `background:color-mix(in srgb, var(--${value < 0 ? "loss" : "gain"}) ${strength}%, var(--panel))`;
  return el("td", { ...attributes, style: value ? fill : "" }, shown);
}
