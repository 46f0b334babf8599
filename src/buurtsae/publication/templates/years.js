// What pages of several years do besides: another year in their tables and maps, changes, and a small map per year.
// of several years what the page needs is compressed: where that cannot be read it stays as it is without scripts
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
// the start page and a buurt: cells of the year that is chosen, in the order of the page; of gemeenten the last is a class
function written(text) { return english() ? swapped(text) : text; }
function ofYear() {
  const year = $("#jaarkeuze").jaar.value, {tables, said} = data.of[year];
  put({jaar: year === String(data.year) ? "" : year});
  $$(".jaar").forEach(node => { node.textContent = year; });
  $("#enquete").replaceChildren(...(said[0] ? [`${year}: `, ...both(`${said[0]}.`, `${said[1]}.`)] : []));
  if ($("#steunt")) $("#steunt").hidden = year !== String(data.year);
  for (const table of $$("table[data-cells]")) {
    for (const row of table.tBodies[0].rows) {
      tables[table.dataset.cells][row.dataset.i].forEach((value, k) => fill(row, row.cells[k + 1], value, table.dataset.cells));
    }
    if (table.id) sort(table);
  }
}
function fill(row, cell, value, table) {
  if (table === "gemeenten" && cell.cellIndex === 3) {
    const path = $(`.kaart path[data-code="${row.dataset.code}"]`);
    path.setAttribute("class", value);
    path.firstChild.textContent = `${row.cells[0].textContent}: ${row.cells[1].textContent} (${row.cells[2].textContent})`;
  } else if (cell.querySelector(".strook")) bar(cell.querySelector(".strook"), value);
  else if (Array.isArray(value)) cell.replaceChildren(...both(...value));
  else cell.textContent = written(value);
}
function bar(svg, ends) {
  svg.querySelectorAll("path ~ *").forEach(node => node.remove());
  if (!ends) return;
  svg.append(make("path", {xmlns: 1, d: `M${ends[0]} 7H${ends[2]}`, stroke: "#1a5a8a", "stroke-width": 5}), make("circle", {xmlns: 1, cx: ends[1], cy: 7, r: 5, fill: "#0b2942"}));
}
function switchYears() {
  $("#jaarkeuze").hidden = false;
  for (const table of $$("table[data-cells]")) {
    [...table.tBodies[0].rows].forEach((row, i) => {
      row.dataset.i = i;
      row.dataset.code = (row.querySelector("a")?.getAttribute("href") || "").slice(9, 15);  // gemeente/GM....html
    });
  }
  $("#jaarkeuze").addEventListener("input", ofYear);
}

const whenChanged = pair => [`verandering ${pair.replace("-", "–")}`, `change ${pair.replace("-", "–")}`];
// the row of a buurt in the view of changes, [change, interval, class, probability of an increase, share that shows, reason]
// or 0: never a difference without its interval
function changed(cells, path, name, c) {
  const known = c && c[0] !== null, hidden = c && c[5] !== null ? [" (", ...both(...data.unsaid[c[5]]), ")"] : [];
  cells[1].textContent = known ? `${written(c[0])} (${written(c[1])})` : "–";
  cells[2].textContent = known ? `${c[3]}%` : "–";
  cells[3].replaceChildren(...(known ? both(...data.said[c[2]]) : c ? [...both(...data.labels[2]), ...hidden] : ["–"]));
  cells[3].dataset.key = known ? c[3] : "";
  cells[4].textContent = known && c[4] !== null ? `${c[4]}%` : "–";
  paint(path, known ? `v${c[2]}` : "x");
  path.firstChild.textContent = `${name}: ${cells[3].querySelector("." + document.documentElement.lang)?.textContent ?? "–"}` + (known ? `, ${cells[1].textContent}` : "");
}

// what goes with several years: the switches, the legend of changes, and a small map per year in the classes of the large one
function severalYears(measure, view, year) {
  const change = view === "verandering", said = !change && data.without[year], large = $("#kaart svg"), box = $("#jaren");
  $("#naam-jaar").hidden = change;
  $("#enquete").replaceChildren(...(said ? [`${year}: `, ...both(`${said[0]}.`, `${said[1]}.`)] : []));
  for (const id of ["#naam-paar", "#legenda-verandering", "#uitleg-verandering"]) if ($(id)) $(id).hidden = !change;
  $$(".bij-score, #buurten tr > :last-child").forEach(node => { node.hidden = change; });
  $$(".bij-verandering").forEach(node => { node.hidden = !change; });
  box.hidden = view !== "score";
  box.replaceChildren(...(box.hidden ? [] : data.years.map(y => {
    const svg = make("svg", {xmlns: 1, class: "kaart", viewBox: large.getAttribute("viewBox"), "aria-hidden": "true"});
    data.buurten.forEach(([code], i) => {
      const path = large.querySelector(`path[data-code="${code}"]`), r = data.rows[y][measure][i];
      svg.append(make("path", {xmlns: 1, d: path.getAttribute("d"), class: r && r[0] !== null ? `k${r[8]}${r[3] === 1 ? "i" : ""}` : "x"}));
    });
    const none = data.without[y] ? [", ", ...both("geen enquête", "no survey")] : [];
    return make("figure", String(y) === year ? {class: "gekozen"} : {}, svg, make("figcaption", {}, `${y}`, ...none));
  })));
}
