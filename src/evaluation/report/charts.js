// Charts: made when the page stands, as Chart.js measures the place of each.

const waiting = [];
function chart(title, shape, config) {
  const canvas = el("canvas", { role: "img", "aria-label": title });
  waiting.push(() => new Chart(canvas, config));
  return el("div", { class: `chart ${shape}` }, el("h3", null, title), el("div", { class: `canvas ${shape}` }, canvas));
}
function drawCharts() {
  if (waiting.length === 0) return;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.color = "#5b6775";
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.plugins.legend.labels.boxWidth = 10;
  Chart.defaults.plugins.legend.position = "bottom";
  waiting.forEach((draw) => draw());
}
const charts = (...children) => el("div", { class: "charts" }, ...children);
const axis = (text, more = {}) => ({ title: { display: true, text }, grid: { color: "#eef1f4" }, ...more });
const wholeNumbers = (text) => axis(text, { ticks: { precision: 0 }, beginAtZero: true });
const coloured = (colour) => ({ borderColor: colour, backgroundColor: colour });
const points = (pairs) => pairs.map(([x, y]) => ({ x, y }));
const line = { showLine: true, pointRadius: 0, borderWidth: 2, tension: 0 };
const diagonal = (label) => ({ ...line, label, data: points([[0, 0], [1, 1]]), ...coloured("#c4cbd3"), borderDash: [5, 4], borderWidth: 1 });
// A legend without the helpers whose label is empty.
const named = { legend: { labels: { filter: (item) => item.text !== "" } } };
const unit = (text) => axis(text, { min: 0, max: 1 });

function wholeTicks(scale) {
  const first = Math.ceil(scale.min), last = Math.floor(scale.max), step = Math.max(1, Math.ceil((last - first + 1) / 12));
  scale.ticks = [];
  for (let value = first; value <= last; value += step) scale.ticks.push({ value });
}

const has = (psnr, key) => psnr[key].some((y) => y !== null);

function psnrChart(psnr, labels) {
  const series = (key, colour, pointStyle) => ({
    label: labels[key], data: points(psnr[key].map((y, i) => [i + 1, y])).filter((p) => p.y !== null),
    ...coloured(colour), pointRadius: psnr.case.length > 80 ? 2 : 4, pointStyle,
  });
  return chart("PSNR by case", "wide", {
    type: "scatter",
    data: { datasets: [["generated", colours.right, "circle"], ["wrong_cxr", colours.wrong, "triangle"], ["mean_volume", colours.mean, "rect"]].filter(([key]) => has(psnr, key)).map((entry) => series(...entry)) },
    options: {
      scales: { x: axis("case, by rank", { min: 0.5, max: psnr.case.length + 0.5, afterBuildTicks: wholeTicks }), y: axis("PSNR (dB)") },
      plugins: {
        legend: { labels: { usePointStyle: true, boxHeight: 6 } },
        tooltip: { callbacks: { label: (item) => `${psnr.case[item.parsed.x - 1]}, ${item.dataset.label}: ${fixed(item.parsed.y, 2)} dB` } },
      },
    },
  });
}

// Both paired differences in the same bins of a round width.
function gainChart(psnr, labels) {
  const shown = { wrong_cxr: colours.wrong, mean_volume: colours.mean };
  const differences = (key) => psnr[key].map((y, i) => (y === null || psnr.generated[i] === null ? null : psnr.generated[i] - y)).filter((d) => d !== null);
  const kept = baselines.filter((key) => has(psnr, key)), all = kept.flatMap(differences).concat([0]);
  const low = Math.min(...all), high = Math.max(...all);
  const width = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10].find((w) => (high - low) / w <= 16) || (high - low) / 16;
  const first = Math.floor(low / width), bins = Math.max(1, Math.floor(high / width) - first + 1);
  const counts = (values) => values.reduce((c, d) => { c[Math.floor(d / width) - first] += 1; return c; }, new Array(bins).fill(0));
  const digits = width < 0.1 ? 2 : width < 1 ? 1 : 0;
  return chart(`Gain of the ${labels.generated} in PSNR`, "wide", {
    type: "bar",
    data: {
      labels: Array.from({ length: bins }, (_, i) => `${((first + i) * width).toFixed(digits)} to ${((first + i + 1) * width).toFixed(digits)}`),
      datasets: kept.map((key) => ({ label: `over ${labels[key].startsWith("another") ? "" : "the "}${labels[key]}`, data: counts(differences(key)), backgroundColor: shown[key] })),
    },
    options: { scales: { x: axis("difference in PSNR (dB)", { grid: { display: false } }), y: wholeNumbers("cases") } },
  });
}

function rocChart(arms) {
  const curves = arms.map((arm) => ({ ...line, label: `${arm.title} (${fixed(arm.auc, 3)})`, data: points(arm.roc.points), ...coloured(arm.colour) }));
  const bands = arms.filter((arm) => arm.roc.band.length > 0).flatMap((arm) => {
    const edge = (k, fill) => ({ ...line, borderWidth: 0, label: "", data: arm.roc.band.map((p) => ({ x: p[0], y: p[k] })), backgroundColor: `${arm.colour}22`, borderColor: "transparent", fill });
    return [edge(1, "+1"), edge(2, false)];
  });
  return chart("ROC", "square", { type: "scatter", data: { datasets: [...curves, ...bands, diagonal("chance")] }, options: { plugins: named, scales: { x: unit("1 − specificity"), y: unit("sensitivity") } } });
}

function scoreChart(arm) {
  const histogram = arm.score_histogram, threshold = arm.threshold === null ? none : general(arm.threshold, 3);
  return chart(`Scores, ${arm.title}`, "square", {
    type: "bar",
    data: { labels: histogram.centres.map((centre) => general(centre, 3)), datasets: [
      { label: "no PE", data: histogram.negative, backgroundColor: colours.mean },
      { label: "PE", data: histogram.positive, backgroundColor: colours.wrong },
    ] },
    options: { scales: { x: axis(`score (threshold ${threshold})`, { grid: { display: false } }), y: wholeNumbers("studies") } },
  });
}

function calibrationChart(arms) {
  const bins = (arm) => arm.calibration.bins.filter((bin) => bin.n > 0);
  const curves = arms.map((arm) => ({ ...line, label: arm.title, pointRadius: 3, data: points(bins(arm).map((bin) => [bin.mean_score, bin.observed.value])), ...coloured(arm.colour) }));
  const bars = arms.flatMap((arm) => bins(arm).map((bin) => ({ ...line, borderWidth: 1, label: "", data: points(bin.observed.interval.map((y) => [bin.mean_score, y])), ...coloured(arm.colour) })));
  return chart("Calibration", "square", { type: "scatter", data: { datasets: [...curves, ...bars, diagonal("perfect")] }, options: { plugins: named, scales: { x: unit("mean score"), y: unit("share with PE") } } });
}

function benefitChart(arms) {
  const curves = arms.map((arm) => ({ ...line, label: arm.title, data: points(arm.net_benefit), ...coloured(arm.colour) }));
  const reference = (label, data, borderDash) => ({ ...line, label, data, borderWidth: 1, borderDash, ...coloured(colours.mean) });
  curves.push(reference("treat all", arms[0].net_benefit.map(([x, , all]) => ({ x, y: all })), [5, 4]), reference("treat none", points([[0, 0], [1, 0]]), []));
  const highest = Math.max(0.05, ...arms.flatMap((arm) => arm.net_benefit.map((p) => Math.max(p[1], p[2]))));
  return chart("Net benefit", "square", { type: "scatter", data: { datasets: curves }, options: { scales: { x: unit("threshold"), y: axis("net benefit", { min: -highest / 2, max: highest * 1.1 }) } } });
}

function trainingChart([stage, curve]) {
  const series = (key, label, colour) => ({ ...line, label, data: points(curve[key]).filter((p) => p.y !== null && p.y > 0), pointRadius: key === "val_loss" ? 3 : 0, borderWidth: 1.5, ...coloured(colour) });
  const datasets = [series("loss", "training", colours.right), series("val_loss", "validation", colours.wrong)].filter((s) => s.data.length > 0);
  return chart(stages[stage] || stage, "wide", { type: "scatter", data: { datasets }, options: { scales: { x: axis("step"), y: axis("loss", { type: "logarithmic" }) } } });
}
