// Draws the report of `evaluate` from metrics.json, or that of `preprocess --check` from
// report.json. Either file is embedded in the page with its pictures beside it; nothing is shown
// that is not in the file. The files beside this one come before it, in one function with it.

const embedded = (id) => JSON.parse(document.getElementById(id).textContent);
const data = embedded("data"), pictures = embedded("pictures"), isCheck = data.schema.startsWith("x2ctpa.check/");
const kind = isCheck ? "x2ctpa data check" : "x2ctpa evaluation";
document.title = `${data.title} – ${kind}`;
document.body.append(
  el("header", null, el("div", null, el("p", { class: "kind" }, kind), el("h1", null, ...breakable(data.title))), el("p", { class: "notice" }, data.notice)),
  el("main", null, ...(isCheck ? [checkSummary(data), findings(data), studies(data, pictures)] : evaluation(data, pictures)).flat()));
drawCharts();
const markWideTables = () => document.querySelectorAll(".table").forEach((box) => {
  const scroll = box.querySelector(".scroll");
  box.classList.toggle("scrolls", scroll.scrollWidth > scroll.clientWidth + 1);
});
markWideTables();
addEventListener("resize", markWideTables);
