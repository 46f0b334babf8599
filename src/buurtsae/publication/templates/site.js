"use strict";
// What a page does beyond its table and map: language, search, sorting, and the views of a gemeente. The choice is kept
// in the address (#maat=participatie&beeld=verschil&taal=en), so that it can be shared and follows links.
const $ = s => document.querySelector(s), $$ = s => [...document.querySelectorAll(s)];
const SVG = "http://www.w3.org/2000/svg";
let data, state = new URLSearchParams(location.hash.slice(1));
// write the choice into the address and into every link to another page
function put(choice) {
  for (const [key, value] of Object.entries(choice)) value ? state.set(key, value) : state.delete(key);
  const hash = String(state) && "#" + state;
  history.replaceState(null, "", hash || location.pathname + location.search);
  $$("a").filter(a => /\.html/.test(a.getAttribute("href"))).forEach(a => a.setAttribute("href", a.getAttribute("href").split("#")[0] + hash));
}
function make(tag, attributes, ...inside) {
  const node = attributes.xmlns ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (name !== "xmlns") node.setAttribute(name, value);
  node.append(...inside);
  return node;
}
const both = (nl, en) => [make("span", {class: "nl"}, nl), make("span", {class: "en", lang: "en"}, en)];
const english = () => document.documentElement.lang === "en";
const number = (x, digits = chosen().digits) => english() ? x.toFixed(digits) : x.toFixed(digits).replace(".", ",");
const chosen = () => data.measures[$("#keuze").maat.value], sign = () => chosen().sign || "";
const swapped = text => text.replace(/(?<=\d)[.,](?=\d)/g, sign => sign === "," ? "." : ",");

// language: words in both stand side by side; titles and labels have the other language in data-en
const language = $("#taal");
$$("[data-en]").forEach(node => { node.dataset.nl = node.getAttribute("aria-label") || node.textContent; });
function speak(lang) {
  if (lang !== document.documentElement.lang) figures();
  document.documentElement.lang = lang;
  language.textContent = lang === "en" ? "Nederlands" : "English";
  language.lang = lang === "en" ? "nl" : "en";
  for (const node of $$("[data-en]")) {
    if (node.hasAttribute("aria-label")) node.setAttribute("aria-label", node.dataset[lang]);
    else node.textContent = node.dataset[lang];
  }
  put({taal: lang === "en" ? "en" : ""});
  $$("table[id]").forEach(sort);
}
// numbers stand in the page once, in Dutch: English has a point where Dutch has a comma, and a comma in its thousands
function figures() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const parent = node.parentElement;
    if (parent.closest("td.n, span.n, .kaart path title, .lijn text") && !parent.closest(".nl, .en")) node.data = swapped(node.data);
  }
}
language.hidden = false;
language.addEventListener("click", () => { state.set("taal", english() ? "nl" : "en"); obey(); });

// sort a table by the column that says so: numbers, and cells with a key, as numbers, dashes last; again when its cells change
function sort(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], i = heads.findIndex(h => h.hasAttribute("aria-sort"));
  if (i < 0) return;
  const sign = heads[i].getAttribute("aria-sort") === "ascending" ? 1 : -1, numeric = heads[i].className === "n" || heads[i].dataset.keys;
  const text = row => (row.cells[i].querySelector("." + document.documentElement.lang) || row.cells[i]).textContent.trim();
  const value = row => {
    const key = row.cells[i].dataset.key, t = key ?? (english() ? text(row) : swapped(text(row)));
    return t === "" || t.startsWith("–") ? NaN : parseFloat(t.replace(/,/g, ""));
  };
  body.append(...[...body.rows].sort((a, b) => {
    if (!numeric) return sign * text(a).localeCompare(text(b), "nl");
    const x = value(a), y = value(b);
    return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
  }));
}
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    const button = make("button", {type: "button"}, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      sort(table);
    });
  }
}

// the start page: find a gemeente or a buurt
function find(text) {
  const wanted = text.trim().toLowerCase(), list = $("#gevonden"), most = 30, found = [];
  list.replaceChildren();
  if (wanted.length < 2) return $("#stand").replaceChildren();
  for (const [code, name, buurten] of data.gemeenten) {
    if (name.toLowerCase().includes(wanted) || code.toLowerCase() === wanted) found.push([`gemeente/${code}`, name, code]);
    for (const entry of buurten.split("\t")) {
      const full = "BU" + code.slice(2) + entry.slice(0, 4), buurt = entry.slice(4);
      if (buurt.toLowerCase().includes(wanted) || full.toLowerCase() === wanted) found.push([`buurt/${full}`, `${buurt} (${name})`, full]);
    }
  }
  for (const [page, name, code] of found.slice(0, most)) {
    list.append(make("li", {}, make("a", {href: `${page}.html${location.hash}`}, name), ` ${code}`));
  }
  const more = found.length > most ? [` De eerste ${most} staan hieronder.`, ` The first ${most} are listed.`] : ["", ""];
  $("#stand").replaceChildren(...both(`${found.length} gevonden.${more[0]}`, `${found.length} found.${more[1]}`));
}

// a gemeente: rows are [score, lower, upper, label, verdict, respondents, own share, reason, class, decimals if more than most], or 0
function show() {
  const form = $("#keuze"), measure = form.maat.value, view = form.beeld.value;
  const year = form.jaar ? form.jaar.value : String(data.year), change = view === "verandering", pair = form.paar ? form.paar.value : "";
  const rows = data.rows[year][measure], changes = change && data.changes[pair][measure], wanted = form.zoek.value.trim().toLowerCase();
  put({
    maat: measure === data.first ? "" : measure, beeld: view === "score" ? "" : view,
    jaar: year === String(data.year) ? "" : year, paar: change && pair !== data.pairs[0] ? pair : "",
  });
  const {nl, en, classes} = data.measures[measure];
  if (classes) $$("#legenda-score .klasse").forEach((node, i) => node.replaceChildren(...both(...classes[classes.length - 1 - i])));
  const when = change ? whenChanged(pair) : [year, year];
  $("#bijschrift").replaceChildren(...both(`${nl} per buurt, ${when[0]} (${rows.length} ${rows.length === 1 ? "buurt" : "buurten"})`, `${en[0].toUpperCase() + en.slice(1)} per area, ${when[1]} (${rows.length} ${rows.length === 1 ? "area" : "areas"})`));
  const paths = new Map($$("#kaart path[data-code]").map(p => [p.dataset.code, p]));
  let shown = 0;
  for (const row of $$("#buurten tbody tr")) {
    const i = Number(row.dataset.i), [code, name] = data.buurten[i], r = rows[i], cells = row.cells;
    const path = paths.get(code), match = !wanted || name.toLowerCase().includes(wanted) || code.toLowerCase().includes(wanted);
    row.hidden = !match;
    shown += match;
    path.classList.toggle("hier", Boolean(wanted) && match);
    if (change) { changed(cells, path, name, changes[i]); continue; }
    const figure = r && r[0] !== null;
    cells[1].textContent = figure ? number(r[0], r[9]) + sign() : "–";
    cells[2].textContent = figure ? `${number(r[1], r[9])} – ${number(r[2], r[9])}${sign()}` : "–";
    const compared = figure && r[4] !== null, drawn = view === "verschil" ? compared && `v${r[4]}` : figure && `k${r[8]}`;
    cells[3].replaceChildren(...(figure ? both(...(compared ? data.verdicts[r[4]] : data.uncompared)) : ["–"]));
    cells[3].dataset.key = compared ? -r[4] : "";
    cells[4].textContent = figure ? `${r[5]}${r[6] === null ? "" : ` (${r[6]}%)`}` : "–";
    cells[5].replaceChildren(...(r ? both(...data.labels[r[3]]) : ["–"]), ...why(r));
    const hatched = r && r[3] === 1 ? "i" : "";
    paint(path, drawn ? drawn + hatched : "x");
    path.firstChild.textContent = `${name}: ${cells[1].textContent} (${cells[2].textContent})` + (compared && view === "verschil" ? `, ${data.verdicts[r[4]][english() ? 1 : 0]}` : "");
  }
  $("#stand").replaceChildren(...(wanted ? both(`${shown} ${shown === 1 ? "buurt" : "buurten"} gevonden`, `${shown} ${shown === 1 ? "area" : "areas"} found`) : []));
  $("#kaart").hidden = view === "interval";
  $("#intervallen").hidden = view !== "interval";
  $("#legenda-score").hidden = view !== "score";
  $("#legenda-verschil").hidden = view !== "verschil";
  if (view === "interval") intervals(rows, data.whole[year][measure]);
  if (form.jaar) severalYears(measure, view, year);
  sort($("#buurten"));
}

const paint = (path, css) => path.setAttribute("class", css + (path.classList.contains("hier") ? " hier" : ""));

// why a figure is indicative or absent
function why(r) {
  const reason = !r ? data.nobody : r[7] === null ? null : data.reasons[r[7]];
  return reason ? [" (", ...both(...reason), ")"] : [];
}

// dots and bars, alphabetical; the line is the gemeente
function intervals(rows, whole) {
  const step = 20, left = 190, width = 300, marks = chosen().marks, low = marks[0], x = v => left + (v - low) * width / (marks[marks.length - 1] - low);
  const order = data.buurten.map((b, i) => i).filter(i => rows[i] && rows[i][0] !== null);
  order.sort((a, b) => data.buurten[a][1].localeCompare(data.buurten[b][1], "nl"));
  const height = (order.length + 2) * step, s = (tag, attributes, ...inside) => make(tag, {xmlns: 1, ...attributes}, ...inside);
  const svg = s("svg", {viewBox: `0 0 ${left + width + 20} ${height}`, role: "img", "aria-labelledby": "bijschrift", "font-size": 12});
  for (const v of marks) svg.append(s("path", {d: `M${x(v)} ${step}V${height}`, stroke: "#ddd"}), s("text", {x: x(v), y: 14, "text-anchor": "middle"}, english() ? String(v) : String(v).replace(".", ",")));
  const line = whole && whole[0] !== null ? ["; stippellijn: de gemeente", "; dashed line: the municipality"] : ["", ""];
  if (line[0]) svg.append(s("path", {d: `M${x(whole[0])} ${step}V${height}`, stroke: "#555", "stroke-dasharray": "4 3"}));
  order.forEach((i, k) => {
    const [estimate, lower, upper, label] = rows[i], digits = rows[i][9], y = (k + 1.6) * step, name = data.buurten[i][1];
    const colour = label === 1 ? "#b34700" : "#0072b2";
    svg.append(s("g", {}, s("title", {}, `${name}: ${number(estimate, digits)}${sign()} (${number(lower, digits)} – ${number(upper, digits)}${sign()})`),
      s("text", {x: left - 8, y: y + 4, "text-anchor": "end"}, name.length > 28 ? name.slice(0, 27) + "…" : name),
      s("path", {d: `M${x(lower)} ${y}H${x(upper)}`, stroke: colour, "stroke-width": label === 1 ? 2 : 4, ...(label === 1 ? {"stroke-dasharray": "5 3"} : {})}),
      s("circle", {cx: x(estimate), cy: y, r: 4, fill: label === 1 ? "#fff" : colour, stroke: colour, "stroke-width": 2})));
  });
  $("#intervallen").replaceChildren(svg, make("p", {class: "soft"}, ...both(`Stip: ${data.noun[0]}; balk: 95%-interval; open en gestippeld: indicatief${line[0]}.`, `Dot: ${data.noun[1]}; bar: 95% interval; open and dashed: indicative${line[1]}.`)));
}

// show what the address says: at the start, and when it is changed by hand or by a link on the same page
function obey() {
  speak(state.get("taal") === "en" ? "en" : "nl");
  const years = data.year ? [data.year, ...data.years].map(String) : [];  // the first is what is shown unless another is asked for
  if ($("#jaarkeuze")) {
    $("#jaarkeuze").jaar.value = years.includes(state.get("jaar")) ? state.get("jaar") : years[0];
    ofYear();
  }
  const form = $("#keuze");
  if (!form) return;
  const views = ["score", "verschil", "interval", ...(form.paar ? ["verandering"] : [])];
  const choices = {maat: [data.first, ...Object.keys(data.measures)], beeld: views, jaar: years, paar: data.pairs || []};
  for (const [key, known] of Object.entries(choices)) {
    if (form[key]) form[key].value = known.includes(state.get(key)) ? state.get(key) : known[0];
  }
  show();
}
function start() {
  $$("table[id]").forEach(sortable);
  if ($("#zoekform")) {
    $("#zoekform").hidden = false;
    $("#zoekform").addEventListener("submit", event => event.preventDefault());
    $("#zoekform").zoek.addEventListener("input", event => find(event.target.value));
  }
  if ($("#keuze")) {
    $("#keuze").hidden = false;
    $$("#buurten tbody tr").forEach((row, i) => { row.dataset.i = i; });
    $("#keuze").addEventListener("submit", event => event.preventDefault());
    $("#keuze").addEventListener("input", show);
  }
  if ($("#jaarkeuze")) switchYears();
  $$(".kaart path[data-code]").forEach(path => path.addEventListener("click", () => {
    location.href = (path.dataset.code.startsWith("GM") ? "gemeente/" : "../buurt/") + path.dataset.code + ".html" + location.hash;
  }));
  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.includes("=")) return put({});  // an anchor, such as the skip link: the choice stays
    state = new URLSearchParams(location.hash.slice(1));
    obey();
  });
  obey();
}
if ($("#data").type === "application/json") {
  data = JSON.parse($("#data").textContent);
  start();
} else unpacked($("#data").textContent.trim()).then(value => { data = value; start(); });
