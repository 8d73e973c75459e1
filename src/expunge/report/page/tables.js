"use strict";
// Tables by method: folds and unfolds their runs, sorts, filters rows, and chooses columns. The address keeps
// it: #sort=methods.speed_up, or -methods.speed_up for descending, &find=words, &hide=key,key.
(() => {
  const tables = Array.from(document.querySelectorAll("table.sortable"));
  const main = document.querySelector("table.methods");
  const state = () => new URLSearchParams(location.hash.slice(1));
  const make = (name, more, ...inside) => {
    const made = Object.assign(document.createElement(name), more);
    made.append(...inside);
    return made;
  };

  function keep(key, value) {
    const now = state();
    if (value) now.set(key, value);
    else now.delete(key);
    const words = now.toString().replaceAll("%2C", ",");
    history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
  }

  // Sorting: methods among each other, and the runs of each, by raw numbers where there are any, by words that
  // are all numbers, or else by words.
  function order(head, way) {
    const table = head.closest("table");
    const sign = way === "descending" ? -1 : 1;
    const sorted = (rows) => {
      const all = rows.map(([item, row]) => {
        const cell = row.cells[head.cellIndex];
        return { item, value: cell.dataset.value, words: cell.textContent.trim() };
      });
      const numerals = all.filter((one) => one.words !== "–");
      if (numerals.every((one) => one.words && !isNaN(one.words))) for (const one of numerals) one.value ??= one.words;
      const numbers = all.some((one) => one.value !== undefined);
      const blank = (one) => (numbers ? one.value === undefined : one.words === "–");
      all.sort((a, b) => {
        if (blank(a) || blank(b)) return blank(a) - blank(b);
        return sign * (numbers ? a.value - b.value : a.words.localeCompare(b.words, "en", { numeric: true }));
      });
      return all.map((one) => one.item);
    };
    const bodies = Array.from(table.tBodies);
    for (const body of bodies) body.append(...sorted(Array.from(body.rows).slice(1).map((row) => [row, row])));
    table.append(...sorted(bodies.map((body) => [body, body.rows[0]])));
    for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way);
  }

  function sortAsAsked() {
    const asked = state().get("sort") || "";
    for (const table of tables) {
      const head = Array.from(table.tHead.rows[0].cells).find((one) => one.dataset.key === asked.replace(/^-/, ""));
      if (asked && head) order(head, asked.startsWith("-") ? "descending" : "ascending");
    }
  }

  for (const head of tables.flatMap((table) => Array.from(table.tHead.rows[0].cells))) {
    head.setAttribute("aria-sort", "none");
    head.append(make("button", { type: "button" }, ...head.childNodes));
    head.firstElementChild.addEventListener("click", () => {
      const other = { ascending: "descending", descending: "ascending" };
      const way = other[head.getAttribute("aria-sort")] || head.dataset.first;
      order(head, way);
      keep("sort", (way === "descending" ? "-" : "") + head.dataset.key);
    });
  }

  // Folding: a method with runs has a button, and all of them have one together.
  const open = new Set();
  const folds = main ? Array.from(main.tBodies).filter((body) => body.rows.length > 1) : [];
  for (const body of folds) {
    const name = body.rows[0].cells[0];
    const button = make("button", { type: "button", className: "fold", title: "Show the runs" });
    button.append(...name.childNodes);
    name.append(button);
    button.addEventListener("click", () => {
      open[open.has(body) ? "delete" : "add"](body);
      show();
    });
  }

  // Filtering: all words must be in what a row is called; a method stays for the sake of its runs.
  const field = make("input", { type: "search", placeholder: "Filter rows", ariaLabel: "Filter rows" });
  const none = make("p", { className: "note", hidden: true }, "No row is called so.");
  function show() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (text) => words.every((word) => text.toLowerCase().includes(word));
    let some = false;
    for (const body of main.tBodies) {
      const [own, ...runs] = body.rows;
      const name = own.cells[0].textContent;
      const whole = has(name);
      const found = runs.map((run) => has(`${name} ${run.cells[0].textContent}`));
      body.hidden = !whole && !found.includes(true);
      runs.forEach((run, i) => { run.hidden = !(whole ? open.has(body) : found[i]); });
      own.querySelector(".fold")?.setAttribute("aria-expanded", runs.some((run) => !run.hidden));
      some ||= !body.hidden;
    }
    none.hidden = some;
    if (all) all.textContent = open.size < folds.length ? "Show all runs" : "Fold runs";
  }

  const all = folds.length ? make("button", { type: "button" }, "Show all runs") : null;
  all?.addEventListener("click", () => {
    if (open.size < folds.length) folds.forEach((body) => open.add(body));
    else open.clear();
    show();
  });

  // Columns: a list of boxes to tick.
  const boxes = [];
  function choose() {
    const hidden = boxes.filter((box) => !box.checked);
    for (const row of main.rows) {
      for (const box of boxes) row.cells[box.column].hidden = !box.checked;
    }
    return hidden.map((box) => box.value).join(",");
  }

  function toolbar() {
    const list = make("div", { className: "choices" });
    Array.from(main.tHead.rows[0].cells).slice(1).forEach((head) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.value = head.dataset.key.replace(/^methods\./, "");
      box.column = head.cellIndex;
      boxes.push(box);
      const title = Array.from(head.querySelectorAll("abbr, span, small"), (one) => one.textContent).join(", ");
      list.append(make("label", {}, box, ` ${title}`));
      box.addEventListener("change", () => keep("hide", choose()));
    });
    const columns = make("details", { className: "columns" }, make("summary", {}, "Columns"), list);
    document.addEventListener("click", (event) => {
      if (!columns.contains(event.target)) columns.open = false;
    });
    columns.addEventListener("keydown", (event) => {
      if (event.key === "Escape") columns.open = false;
    });
    const bar = make("div", { className: "bar" }, field, columns, ...(all ? [all] : []));
    main.closest(".scroll").before(bar, none);
    field.addEventListener("input", () => {
      show();
      keep("find", field.value);
    });
  }

  function follow() {
    sortAsAsked();
    if (!main) return;
    const now = state();
    field.value = now.get("find") || "";
    const hide = (now.get("hide") || "").split(",");
    for (const box of boxes) box.checked = !hide.includes(box.value);
    choose();
    show();
  }

  if (main) toolbar();
  window.addEventListener("hashchange", follow);
  follow();
})();
