// Draws the charts of the evaluation report with Chart.js from the JSON beside it.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const colours = { right: "#1769c4", wrong: "#d1543f", mean: "#8b95a1", arms: ["#1b2430", "#d1543f", "#1769c4", "#2d9d78", "#8a4fbf", "#b98900"] };
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.color = "#5b6775";
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.plugins.legend.labels.boxWidth = 10;
  Chart.defaults.plugins.legend.position = "bottom";

  const draw = (id, config) => {
    const canvas = document.getElementById(id);
    if (canvas) new Chart(canvas, config);
  };
  const axis = (text, more = {}) => ({ title: { display: true, text }, grid: { color: "#eef1f4" }, ...more });

  function psnrByCase(psnr) {
    const series = (key, label, colour, pointStyle) => ({
      label, data: (psnr[key] || []).map((y, i) => ({ x: i + 1, y })).filter((p) => p.y !== null),
      backgroundColor: colour, borderColor: colour, pointRadius: psnr.case.length > 80 ? 2 : 4, pointStyle,
    });
    draw("psnr", {
      type: "scatter",
      data: { datasets: [
        series("generated", "right CXR", colours.right, "circle"),
        series("wrong_cxr", "another patient's CXR", colours.wrong, "triangle"),
        series("mean_volume", "mean training volume", colours.mean, "rect"),
      ] },
      options: {
        scales: { x: axis("case, by rank", { ticks: { precision: 0 }, min: 0.5, max: psnr.case.length + 0.5, afterBuildTicks: wholeTicks }), y: axis("PSNR (dB)") },
        plugins: {
          legend: { labels: { usePointStyle: true, boxHeight: 6 } },
          tooltip: { callbacks: { label: (item) => `${psnr.case[item.parsed.x - 1]}, ${item.dataset.label}: ${item.parsed.y.toFixed(2)} dB` } },
        },
      },
    });
  }

  function wholeTicks(scale) {
    const first = Math.ceil(scale.min), last = Math.floor(scale.max), step = Math.max(1, Math.ceil((last - first + 1) / 12));
    scale.ticks = [];
    for (let value = first; value <= last; value += step) scale.ticks.push({ value });
  }

  // Both paired differences in the same bins of a round width.
  function gains(psnr) {
    const differences = (key) => (psnr[key] || []).map((y, i) => (y === null || psnr.generated[i] === null ? null : psnr.generated[i] - y)).filter((d) => d !== null);
    const wrong = differences("wrong_cxr"), mean = differences("mean_volume"), all = wrong.concat(mean, [0]);
    const low = Math.min(...all), high = Math.max(...all);
    const width = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10].find((w) => (high - low) / w <= 16) || (high - low) / 16;
    const first = Math.floor(low / width), bins = Math.max(1, Math.floor(high / width) - first + 1);
    const counts = (values) => values.reduce((c, d) => { c[Math.floor(d / width) - first] += 1; return c; }, new Array(bins).fill(0));
    const digits = width < 0.1 ? 2 : width < 1 ? 1 : 0;
    draw("gain", {
      type: "bar",
      data: {
        labels: Array.from({ length: bins }, (_, i) => `${((first + i) * width).toFixed(digits)} to ${((first + i + 1) * width).toFixed(digits)}`),
        datasets: [
          { label: "right − another patient's", data: counts(wrong), backgroundColor: colours.wrong },
          { label: "right − mean volume", data: counts(mean), backgroundColor: colours.mean },
        ],
      },
      options: { scales: { x: axis("difference in PSNR (dB)", { grid: { display: false } }), y: axis("cases", { ticks: { precision: 0 }, beginAtZero: true }) } },
    });
  }

  function rocCurves(arms) {
    const line = { showLine: true, pointRadius: 0, borderWidth: 2, tension: 0 };
    const datasets = arms.map((arm, i) => ({
      ...line, label: `${arm.name} (${arm.auc.toFixed(3)})`, data: arm.points.map(([x, y]) => ({ x, y })),
      borderColor: colours.arms[i % colours.arms.length], backgroundColor: colours.arms[i % colours.arms.length],
    }));
    datasets.push({ ...line, label: "chance", data: [{ x: 0, y: 0 }, { x: 1, y: 1 }], borderColor: "#c4cbd3", backgroundColor: "#c4cbd3", borderDash: [5, 4], borderWidth: 1 });
    draw("roc", {
      type: "scatter", data: { datasets },
      options: { scales: { x: axis("1 − specificity", { min: 0, max: 1 }), y: axis("sensitivity", { min: 0, max: 1 }) } },
    });
  }

  function scoreHistogram(arm, i) {
    draw(`scores${i}`, {
      type: "bar",
      data: { labels: arm.labels, datasets: [
        { label: "no PE", data: arm.negative, backgroundColor: colours.mean },
        { label: "PE", data: arm.positive, backgroundColor: colours.wrong },
      ] },
      options: { scales: { x: axis(`score (threshold ${arm.threshold === null ? "–" : Number(arm.threshold.toPrecision(3))})`, { grid: { display: false } }), y: axis("studies", { ticks: { precision: 0 }, beginAtZero: true }) } },
    });
  }

  function trainingCurve(stage, curve) {
    const series = (key, label, colour) => ({
      label, data: curve[key].map(([x, y]) => ({ x, y })).filter((p) => p.y !== null && p.y > 0),
      showLine: true, pointRadius: key === "val_loss" ? 3 : 0, borderWidth: 1.5, borderColor: colour, backgroundColor: colour,
    });
    const datasets = [series("loss", "training", colours.right), series("val_loss", "validation", colours.wrong)].filter((s) => s.data.length > 0);
    draw(`training-${stage}`, { type: "scatter", data: { datasets }, options: { scales: { x: axis("step"), y: axis("loss", { type: "logarithmic" }) } } });
  }

  if (data.psnr) { psnrByCase(data.psnr); gains(data.psnr); }
  if (data.roc.length) rocCurves(data.roc);
  data.scores.forEach(scoreHistogram);
  Object.entries(data.training).forEach(([stage, curve]) => trainingCurve(stage, curve));
})();
