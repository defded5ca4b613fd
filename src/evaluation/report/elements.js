// What all parts of a report are written with: numbers, elements, tables. Texts enter the page as
// text only, never as markup.

const colours = { right: "#1769c4", wrong: "#d1543f", mean: "#8b95a1", arms: ["#1b2430", "#d1543f", "#1769c4", "#2d9d78", "#8a4fbf", "#b98900"] };
// What each source is called stands in the file; these are the baselines and the model's parts.
const baselines = ["wrong_cxr", "mean_volume"], references = ["generated", "regression", "autoencoder"];
const stages = { vae: "Autoencoder", diffusion: "Diffusion", "classifier/ctpa": "Classifier, true CTPA", "classifier/cxr": "Classifier, X-ray", "classifier/generated": "Classifier, generated CTPA" };

// ---- Numbers, written as the program writes them elsewhere

// A tie goes to the even digit, as in C++; toFixed would take the larger.
function fixed(value, digits) {
  const exact = Math.abs(value).toFixed(digits + 25), kept = exact.slice(0, -25).replace(/\.$/, "");
  const tie = /^50*$/.test(exact.slice(-25)) && Number(kept.slice(-1)) % 2 === 0;
  return tie ? (value < 0 ? "-" : "") + kept : value.toFixed(digits);
}
function scientific(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits).split("e");
  return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}
const withoutZeros = (text) => (text.includes(".") ? text.replace(/\.?0+(?=e|$)/, "") : text);
// %g
function general(value, digits = 6) {
  if (value === 0) return "0";
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  const small = exponent < -4 || exponent >= digits;
  return withoutZeros(small ? scientific(value, digits - 1) : fixed(value, digits - 1 - exponent));
}
const none = "–";
const counted = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const number = (value, digits = 2, otherwise = none) => (value === null || value === undefined ? otherwise : fixed(value, digits));
const pValue = (p) => (p === null || p === undefined ? none : p < 0.001 ? scientific(p, 1) : general(p, 2));
const range = ([low, high], digits = 2, scale = 1) => ` [${number(low && low * scale, digits)}, ${number(high && high * scale, digits)}]`;
// Of a distribution over cases, null can only be an infinite PSNR, that of equal volumes.
const ofCases = (d, key, digits) => number(d[key], digits, d.n > 0 ? "∞" : none);

// ---- Elements

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}
const small = (...children) => el("small", null, ...children);
const section = (title, ...children) => el("section", null, el("h2", null, title), ...children);
const caption = (text) => el("p", { class: "protocol" }, text);
const card = (label, value, unit, note) =>
  el("div", { class: "card" }, el("div", { class: "label" }, label), el("div", { class: "value" }, value, unit ? small(` ${unit}`) : ""), el("div", { class: "note" }, note));
const cards = (...children) => section("Summary", el("div", { class: "cards" }, ...children));

// Paths and names break at their separators, so that no word inside of them has to.
const breakable = (text) => text.split(/(?<=[/_\\])/).flatMap((part, i) => (i === 0 ? [part] : [el("wbr"), part]));

// Options stay whole: a browser would break them after their dashes.
const unbroken = (text) => text.split(/(--[\w.]*\w)/).map((part, i) => (i % 2 === 0 ? part : el("span", { class: "option" }, part)));

// Cells are strings, nodes or lists of both. `kinds`: class of each column: "n" numbers, "text"
// prose. On narrow screens a table of numbers scrolls, a `stacked` one sets its cells below each other.
function table(titles, kinds, rows, style = "") {
  const cell = (tag) => (content, i) => el(tag, kinds[i] ? { class: kinds[i] } : null, ...[content].flat());
  const line = (tag) => (row) => el("tr", null, ...row.map(cell(tag)));
  const head = titles.some((title) => title !== "") ? [el("thead", null, line("th")(titles))] : [];
  return el("div", { class: `table ${style}` }, el("div", { class: "scroll" }, el("table", null, ...head, el("tbody", null, ...rows.map(line("td"))))));
}
const numbers = (text, count) => [...text, ...new Array(count).fill("n")];

// Texts below each other, after a name in bold; what is more is in `file`.
const listed = (entries, most, file) => [
  ...entries.slice(0, most).map(([name, text]) => el("div", null, el("b", null, ...breakable(name)), ...breakable(`: ${text}`))),
  ...(entries.length > most ? [el("div", null, `and ${entries.length - most} more in ${file}`)] : [])];
