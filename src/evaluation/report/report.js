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

  const colourOf = (i) => colours.arms[i % colours.arms.length];
  const line = { showLine: true, pointRadius: 0, borderWidth: 2, tension: 0 };
  const chance = (label) => ({ ...line, label, data: [{ x: 0, y: 0 }, { x: 1, y: 1 }], borderColor: "#c4cbd3", backgroundColor: "#c4cbd3", borderDash: [5, 4], borderWidth: 1 });
  // A legend without the helpers whose label is empty.
  const named = { legend: { labels: { filter: (item) => item.text !== "" } } };

  function rocCurves(arms) {
    const datasets = [];
    arms.forEach((arm, i) => {
      datasets.push({ ...line, label: `${arm.name} (${arm.auc.toFixed(3)})`, data: arm.points.map(([x, y]) => ({ x, y })), borderColor: colourOf(i), backgroundColor: colourOf(i) });
    });
    arms.forEach((arm, i) => {
      const edge = (k) => ({ ...line, borderWidth: 0, label: "", data: arm.band.map((p) => ({ x: p[0], y: p[k] })), backgroundColor: `${colourOf(i)}22`, borderColor: "transparent" });
      if (arm.band.length) datasets.push({ ...edge(1), fill: "+1" }, { ...edge(2), fill: false });
    });
    datasets.push(chance("chance"));
    draw("roc", { type: "scatter", data: { datasets }, options: { plugins: named, scales: { x: axis("1 − specificity", { min: 0, max: 1 }), y: axis("sensitivity", { min: 0, max: 1 }) } } });
  }

  function calibrationCurves(arms) {
    const datasets = [];
    arms.forEach((arm, i) => {
      datasets.push({ ...line, label: arm.name, pointRadius: 3, data: arm.points.map(([x, y]) => ({ x, y })), borderColor: colourOf(i), backgroundColor: colourOf(i) });
    });
    arms.forEach((arm, i) => arm.points.forEach(([x, , low, high]) => datasets.push({ ...line, borderWidth: 1, label: "", data: [{ x, y: low }, { x, y: high }], borderColor: colourOf(i), backgroundColor: colourOf(i) })));
    datasets.push(chance("perfect"));
    draw("calibration", { type: "scatter", data: { datasets }, options: { plugins: named, scales: { x: axis("mean score", { min: 0, max: 1 }), y: axis("share with PE", { min: 0, max: 1 }) } } });
  }

  function netBenefit(arms) {
    const datasets = arms.map((arm, i) => ({ ...line, label: arm.name, data: arm.points.map(([x, y]) => ({ x, y })), borderColor: colourOf(i), backgroundColor: colourOf(i) }));
    const reference = (label, data) => ({ ...line, label, data, borderWidth: 1, borderDash: [5, 4], borderColor: "#8b95a1", backgroundColor: "#8b95a1" });
    datasets.push(reference("treat all", arms[0].points.map(([x, , all]) => ({ x, y: all }))), { ...reference("treat none", [{ x: 0, y: 0 }, { x: 1, y: 0 }]), borderDash: [] });
    const highest = Math.max(0.05, ...arms.flatMap((arm) => arm.points.map((p) => Math.max(p[1], p[2]))));
    draw("benefit", { type: "scatter", data: { datasets }, options: { scales: { x: axis("threshold", { min: 0, max: 1 }), y: axis("net benefit", { min: -highest / 2, max: highest * 1.1 }) } } });
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

  // Case pictures: both volumes come as mosaics of their axial slices; planes are cut out of them.
  function showCase(figure) {
    const [depth, height, width] = figure.dataset.size.split(",").map(Number);
    const [mmDepth, mmHeight, mmWidth] = figure.dataset.mm.split(",").map(Number);
    const columns = Number(figure.dataset.columns);
    const voxels = {};
    for (const image of figure.querySelectorAll(".mosaic")) {
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data, volume = new Uint8Array(depth * height * width);
      for (let z = 0, i = 0; z < depth; z++) {
        const left = (z % columns) * width, top = Math.floor(z / columns) * height;
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) volume[i++] = pixels[4 * ((top + y) * canvas.width + left + x)];
      }
      voxels[image.dataset.kind] = volume;
    }
    // Picture (rows, columns) of slice k, head up: the value's place in the volume.
    const planes = {
      axial: { slices: depth, rows: height, columns: width, mm: [mmHeight, mmWidth], at: (k, r, c) => (k * height + r) * width + c },
      coronal: { slices: height, rows: depth, columns: width, mm: [mmDepth, mmWidth], at: (k, r, c) => ((depth - 1 - r) * height + k) * width + c },
      sagittal: { slices: width, rows: depth, columns: height, mm: [mmDepth, mmHeight], at: (k, r, c) => ((depth - 1 - r) * height + c) * width + k },
    };
    const drawPlane = (name, slice) => {
      const plane = planes[name];
      for (const canvas of figure.querySelectorAll(`canvas[data-plane=${name}]`)) {
        canvas.width = plane.columns;
        canvas.height = plane.rows;
        canvas.style.aspectRatio = plane.mm[1] / plane.mm[0];
        const context = canvas.getContext("2d"), picture = context.createImageData(plane.columns, plane.rows), out = picture.data;
        for (let r = 0, i = 0; r < plane.rows; r++) for (let c = 0; c < plane.columns; c++, i += 4) {
          const at = plane.at(slice, r, c), real = voxels.real[at], made = voxels.generated[at];
          if (canvas.dataset.kind === "difference") {
            // Blue where the generated volume is darker, orange where it is brighter, black where equal.
            const d = Math.max(-1, Math.min(1, (made - real) / 127.5)), up = Math.max(d, 0), down = Math.max(-d, 0);
            out[i] = 255 * (up + 0.1 * down);
            out[i + 1] = 255 * 0.45 * Math.max(up, down);
            out[i + 2] = 255 * (down + 0.1 * up);
          } else {
            out[i] = out[i + 1] = out[i + 2] = canvas.dataset.kind === "real" ? real : made;
          }
          out[i + 3] = 255;
        }
        context.putImageData(picture, 0, 0);
      }
    };
    for (const slider of figure.querySelectorAll("input[type=range]")) {
      const name = slider.dataset.plane, last = planes[name].slices - 1;
      slider.max = last;
      slider.value = Math.floor((last + 1) / 2);
      const show = () => {
        drawPlane(name, Number(slider.value));
        slider.nextElementSibling.textContent = `slice ${Number(slider.value) + 1} of ${last + 1}`;
      };
      slider.addEventListener("input", show);
      show();
    }
  }
  document.querySelectorAll("figure.case").forEach((figure) => {
    Promise.all([...figure.querySelectorAll(".mosaic")].map((image) => image.decode())).then(() => showCase(figure));
  });

  if (data.calibration.length) { calibrationCurves(data.calibration); netBenefit(data.net_benefit); }
  if (data.psnr) { psnrByCase(data.psnr); gains(data.psnr); }
  if (data.roc.length) rocCurves(data.roc);
  data.scores.forEach(scoreHistogram);
  Object.entries(data.training).forEach(([stage, curve]) => trainingCurve(stage, curve));
})();
