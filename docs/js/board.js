// Columns of the leaderboard's tables are sorted by: a first click the better end first, a second the other.
document.querySelectorAll("table.board thead button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const at = [...head.parentNode.children].indexOf(head);
    const lower = at === 0 || button.textContent.endsWith("↓");
    const first = lower ? "ascending" : "descending", other = lower ? "descending" : "ascending";
    const way = head.getAttribute("aria-sort") === first ? other : first;
    table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const value = (row) => row.cells[at].dataset.value;
    const order = (a, b) => {
      if (at === 0) return sign * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
      if (value(a) === undefined || value(b) === undefined) return (value(a) === undefined) - (value(b) === undefined);
      return sign * (value(a) - value(b));  // what is unknown stays last, either way
    };
    [...body.rows].sort(order).forEach((row) => body.append(row));
  });
});
