"use strict";
// Sorts a table by a column: by the raw numbers in data-value where a column has them, else by its words.
// Blank cells come last either way. The address keeps the order: #sort=runs.seconds_removal_median, or
// #sort=-runs.seconds_removal_median for descending.
(() => {
  const heads = Array.from(document.querySelectorAll("table.sortable thead th"));

  function order(head, way) {
    const body = head.closest("table").tBodies[0];
    const rows = Array.from(body.rows, (row) => {
      const cell = row.cells[head.cellIndex];
      return { row, value: cell.dataset.value, words: cell.textContent.trim() };
    });
    const numbers = rows.some((one) => one.value !== undefined);
    const blank = (one) => (numbers ? one.value === undefined : one.words === "–");
    const sign = way === "descending" ? -1 : 1;
    rows.sort((a, b) => {
      if (blank(a) || blank(b)) return blank(a) - blank(b);
      return sign * (numbers ? a.value - b.value : a.words.localeCompare(b.words, "en", { numeric: true }));
    });
    body.append(...rows.map((one) => one.row));
    for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way);
  }

  function follow() {
    const address = decodeURI(location.hash);
    const head = heads.find((one) => address === `#sort=${one.dataset.key}` || address === `#sort=-${one.dataset.key}`);
    if (head) order(head, address.startsWith("#sort=-") ? "descending" : "ascending");
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const other = { ascending: "descending", descending: "ascending" };
      const way = other[head.getAttribute("aria-sort")] || head.dataset.first;
      order(head, way);
      history.replaceState(null, "", `#sort=${way === "descending" ? "-" : ""}${head.dataset.key}`);
    });
  }
  window.addEventListener("hashchange", follow);
  follow();
})();
