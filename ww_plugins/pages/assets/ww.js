// Sorts and filters tables, by mouse and by keyboard. Without it every table is whole.
"use strict";
(() => {
  const FILTERED = 6; // rows from which on a table has a filter: fewer are seen at once
  const collator = new Intl.Collator("en", { numeric: true });
  const signs = {
    "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, ">": (a, b) => a > b, "=": (a, b) => a === b,
  };

  const numberIn = (cell) => (cell.dataset.v === undefined ? NaN : Number(cell.dataset.v));
  const textIn = (cell) => cell.textContent.trim();

  // Rows without a value come last, whichever way the others are sorted.
  const compared = (a, b, way) => {
    const [first, second] = [numberIn(a), numberIn(b)];
    if (!Number.isNaN(first) && !Number.isNaN(second)) return way * (first - second);
    if (Number.isNaN(first) !== Number.isNaN(second)) return Number.isNaN(first) ? 1 : -1;
    const [one, other] = [textIn(a), textIn(b)];
    if (!one || !other) return Number(!one) - Number(!other);
    return way * collator.compare(one, other);
  };

  const sort = (table, heads, at) => {
    const head = heads[at];
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).sort((a, b) => compared(a.cells[at], b.cells[at], way));
    body.append(...rows);
  };

  // A word must stand somewhere in the row; "alpha>6" speaks of a column.
  const conditionOf = (word, names) => {
    const parts = /^(.+?)(<=|>=|<|>|=)(-?[0-9.]+(?:e[-+]?[0-9]+)?)$/.exec(word);
    const at = parts ? names.indexOf(parts[1]) : -1;
    if (at < 0) return (row) => row.textContent.toLowerCase().includes(word);
    const limit = Number(parts[3]);
    return (row) => signs[parts[2]](numberIn(row.cells[at]), limit);
  };

  const filter = (table, names, text, told) => {
    const conditions = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => conditionOf(word, names));
    const rows = Array.from(table.tBodies[0].rows);
    let left = 0;
    for (const row of rows) {
      row.hidden = !conditions.every((holds) => holds(row));
      if (!row.hidden) left += 1;
    }
    told.textContent = `${left} of ${rows.length} rows`;
  };

  const addFilter = (place, table, names) => {
    const bar = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const told = document.createElement("output");
    bar.className = "filter";
    input.type = "search";
    input.placeholder = "words, or column>number";
    label.append("Filter ", input);
    input.addEventListener("input", () => filter(table, names, input.value, told));
    told.textContent = `${table.tBodies[0].rows.length} rows`;
    bar.append(label, told);
    place.prepend(bar);
  };

  for (const place of document.querySelectorAll("[data-sorts]")) {
    const table = place.querySelector("table");
    const heads = Array.from(table.tHead.rows[0].cells);
    const names = heads.map((head) => textIn(head).toLowerCase());
    if (table.tBodies[0].rows.length < 2) continue;
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, heads, at));
      head.append(button);
    });
    if (table.tBodies[0].rows.length >= FILTERED) addFilter(place, table, names);
  }

  for (const place of document.querySelectorAll("[data-opens]")) {
    const all = Array.from(place.querySelectorAll("details"));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "open-all";
    button.textContent = "Open all charts";
    button.addEventListener("click", () => {
      const open = all.some((own) => !own.open);
      for (const own of all) own.open = open;
      button.textContent = open ? "Close all charts" : "Open all charts";
    });
    if (all.length > 1) place.prepend(button);
  }
})();
