"use strict";
// The board is drawn by the simulator; this asks for it again each second and sends what is pressed.

const board = document.getElementById("board");
const said = document.getElementById("said");
const stale = document.getElementById("stale");

async function refresh() {
  try {
    const answer = await fetch("board", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const drawn = await answer.text();
    const across = [...board.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    const marked = getSelection();
    // Text that somebody is marking stays as it is.
    if (board.innerHTML !== drawn && (marked.isCollapsed || !board.contains(marked.anchorNode))) {
      board.innerHTML = drawn;
      [...board.querySelectorAll(".scroll")].forEach((each, place) => (each.scrollLeft = across[place] ?? 0));
    }
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}

async function send(method, name, body) {
  said.className = "";
  try {
    const answer = await fetch(name, { method, body: body === undefined ? undefined : JSON.stringify(body) });
    const told = await answer.json();
    said.className = answer.ok ? "" : "refused";
    said.textContent = answer.ok ? `Done: ${method} /sim/${name}` : told.error;
  } catch (fault) {
    said.className = "refused";
    said.textContent = `The simulator does not answer: ${fault.message}`;
  }
  await refresh();
}

function changed(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  if (field.tagName === "SELECT") {
    const initial = [...field.options].findIndex((option) => option.defaultSelected);
    return field.required || field.selectedIndex !== Math.max(initial, 0);
  }
  return field.required || field.value !== field.defaultValue;
}

function valuesOf(form) {
  const values = {};
  for (const field of form.elements) {
    if (!field.name || field.matches(":disabled") || !("sent" in field.dataset || changed(field))) continue;
    if (field.type === "checkbox") values[field.name] = field.checked;
    else if (field.value === "") values[field.name] = null;
    else if (field.type === "number" || "number" in field.dataset) values[field.name] = Number(field.value);
    else values[field.name] = field.value;
  }
  return values;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-send]");
  if (!button) return;
  const body = button.dataset.body;
  send(button.dataset.method ?? "POST", button.dataset.send, body && JSON.parse(body));
});

document.addEventListener("change", (event) => {
  if (!("chooser" in event.target.dataset)) return;
  const { kind } = event.target.selectedOptions[0].dataset;
  for (const set of event.target.form.querySelectorAll("fieldset"))
    set.hidden = set.disabled = set.dataset.kind !== kind;
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  send("POST", event.target.dataset.to, valuesOf(event.target));
});

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, 1000);
}
keepFresh();
