// Sorting of tables by the buttons in their heads, and folded parts that open for printing.
(function () {
  "use strict";

  function keyOf(row, column) {
    var cell = row.cells[column];
    var key = cell.getAttribute("data-k");
    if (key === null) key = cell.textContent;
    return /^[-+]?[0-9.]+(e[-+]?[0-9]+)?$/i.test(key) ? parseFloat(key) : key.toLowerCase();
  }

  function compare(one, other) {
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return one < other ? -1 : one > other ? 1 : 0;
  }

  function sort(table, column) {
    var heads = table.tHead.rows[0].cells;
    var head = heads[column];
    var before = head.getAttribute("aria-sort");
    // Numbers are wanted from the largest down, names from A on.
    var ascending = before ? before === "descending" : !head.classList.contains("n");
    for (var i = 0; i < heads.length; i++) heads[i].removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      return compare(keyOf(a, column), keyOf(b, column)) * (ascending ? 1 : -1);
    });
    rows.forEach(function (row) {
      body.appendChild(row);
    });
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      var button = head.querySelector("button");
      if (button) button.addEventListener("click", sort.bind(null, table, column));
    });
  });

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open])").forEach(function (part) {
      part.open = true;
      part.setAttribute("data-closed", "");
    });
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll("details[data-closed]").forEach(function (part) {
      part.open = false;
      part.removeAttribute("data-closed");
    });
  });
})();
