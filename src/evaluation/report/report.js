// Draws the report of `evaluate` from metrics.json, or that of `preprocess --check` from
// report.json. Either file is embedded in the page with its pictures beside it; nothing is shown
// that is not in the file. Texts enter the page as text only, never as markup.
(() => {
  "use strict";
  const embedded = (id) => JSON.parse(document.getElementById(id).textContent);
  const colours = { right: "#1769c4", wrong: "#d1543f", mean: "#8b95a1", arms: ["#1b2430", "#d1543f", "#1769c4", "#2d9d78", "#8a4fbf", "#b98900"] };
  const sources = { generated: "right CXR", wrong_cxr: "another patient's CXR", mean_volume: "mean training volume" };
  const references = { generated: "Right CXR", regression: "Regression alone", autoencoder: "Autoencoder alone" };
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

  // Cells are strings, nodes or lists of both. `kinds`: class of each column: "n" numbers, "text"
  // prose. On narrow screens a table of numbers scrolls, a `stacked` one sets its cells below each other.
  function table(titles, kinds, rows, style = "") {
    const cell = (tag) => (content, i) => el(tag, kinds[i] ? { class: kinds[i] } : null, ...[content].flat());
    const line = (tag) => (row) => el("tr", null, ...row.map(cell(tag)));
    const head = titles.some((title) => title !== "") ? [el("thead", null, line("th")(titles))] : [];
    return el("div", { class: `table ${style}` }, el("div", { class: "scroll" }, el("table", null, ...head, el("tbody", null, ...rows.map(line("td"))))));
  }
  const numbers = (text, count) => [...text, ...new Array(count).fill("n")];

  // ---- Charts: made when the page stands, as Chart.js measures the place of each

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
  const counted = (text) => axis(text, { ticks: { precision: 0 }, beginAtZero: true });
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

  function psnrChart(psnr) {
    const series = (key, colour, pointStyle) => ({
      label: sources[key], data: points(psnr[key].map((y, i) => [i + 1, y])).filter((p) => p.y !== null),
      ...coloured(colour), pointRadius: psnr.case.length > 80 ? 2 : 4, pointStyle,
    });
    return chart("PSNR by case", "wide", {
      type: "scatter",
      data: { datasets: [series("generated", colours.right, "circle"), series("wrong_cxr", colours.wrong, "triangle"), series("mean_volume", colours.mean, "rect")] },
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
  function gainChart(psnr) {
    const differences = (key) => psnr[key].map((y, i) => (y === null || psnr.generated[i] === null ? null : psnr.generated[i] - y)).filter((d) => d !== null);
    const wrong = differences("wrong_cxr"), mean = differences("mean_volume"), all = wrong.concat(mean, [0]);
    const low = Math.min(...all), high = Math.max(...all);
    const width = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10].find((w) => (high - low) / w <= 16) || (high - low) / 16;
    const first = Math.floor(low / width), bins = Math.max(1, Math.floor(high / width) - first + 1);
    const counts = (values) => values.reduce((c, d) => { c[Math.floor(d / width) - first] += 1; return c; }, new Array(bins).fill(0));
    const digits = width < 0.1 ? 2 : width < 1 ? 1 : 0;
    return chart("Gain of the right CXR in PSNR", "wide", {
      type: "bar",
      data: {
        labels: Array.from({ length: bins }, (_, i) => `${((first + i) * width).toFixed(digits)} to ${((first + i + 1) * width).toFixed(digits)}`),
        datasets: [
          { label: "right − another patient's", data: counts(wrong), backgroundColor: colours.wrong },
          { label: "right − mean volume", data: counts(mean), backgroundColor: colours.mean },
        ],
      },
      options: { scales: { x: axis("difference in PSNR (dB)", { grid: { display: false } }), y: counted("cases") } },
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
      options: { scales: { x: axis(`score (threshold ${threshold})`, { grid: { display: false } }), y: counted("studies") } },
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

  // ---- Pictures of a case

  const png = (base64) => `data:image/png;base64,${base64}`;
  const planeNames = ["axial", "coronal", "sagittal"], kinds = ["real", "generated", "difference"];

  async function voxelsOf(base64, [depth, height, width], columns) {
    const image = el("img", { src: png(base64) });
    await image.decode();
    const canvas = el("canvas", { width: image.naturalWidth, height: image.naturalHeight }), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data, volume = new Uint8Array(depth * height * width);
    for (let z = 0, i = 0; z < depth; z++) {
      const left = (z % columns) * width, top = Math.floor(z / columns) * height;
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) volume[i++] = pixels[4 * ((top + y) * canvas.width + left + x)];
    }
    return volume;
  }

  // Picture (rows, columns) of slice k, head up: the value's place in the volume.
  function planesOf([depth, height, width], [mmDepth, mmHeight, mmWidth]) {
    return {
      axial: { slices: depth, rows: height, columns: width, aspect: mmWidth / mmHeight, at: (k, r, c) => (k * height + r) * width + c },
      coronal: { slices: height, rows: depth, columns: width, aspect: mmWidth / mmDepth, at: (k, r, c) => ((depth - 1 - r) * height + k) * width + c },
      sagittal: { slices: width, rows: depth, columns: height, aspect: mmHeight / mmDepth, at: (k, r, c) => ((depth - 1 - r) * height + c) * width + k },
    };
  }

  function drawSlice(canvas, kind, plane, slice, voxels) {
    const context = canvas.getContext("2d"), picture = context.createImageData(plane.columns, plane.rows), out = picture.data;
    for (let r = 0, i = 0; r < plane.rows; r++) for (let c = 0; c < plane.columns; c++, i += 4) {
      const at = plane.at(slice, r, c), real = voxels.real[at], made = voxels.generated[at];
      if (kind === "difference") {
        // Blue where the generated volume is darker, orange where it is brighter, black where equal.
        const d = Math.max(-1, Math.min(1, (made - real) / 127.5)), up = Math.max(d, 0), down = Math.max(-d, 0);
        out[i] = 255 * (up + 0.1 * down);
        out[i + 1] = 255 * 0.45 * Math.max(up, down);
        out[i + 2] = 255 * (down + 0.1 * up);
      } else {
        out[i] = out[i + 1] = out[i + 2] = kind === "real" ? real : made;
      }
      out[i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  // The rows of one plane: three canvases and the slider that moves them.
  function planeRows(name, plane, voxelsReady) {
    const canvases = kinds.map((kind) => el("canvas", { width: plane.columns, height: plane.rows, style: `aspect-ratio:${plane.aspect}`, role: "img", "aria-label": `${name}, ${kind}` }));
    const slider = el("input", { type: "range", min: 0, max: plane.slices - 1, value: Math.floor(plane.slices / 2), "aria-label": `${name} slice` });
    const place = el("output");
    const show = (voxels) => {
      canvases.forEach((canvas, i) => drawSlice(canvas, kinds[i], plane, Number(slider.value), voxels));
      place.textContent = `slice ${Number(slider.value) + 1} of ${plane.slices}`;
    };
    voxelsReady.then((voxels) => {
      slider.addEventListener("input", () => show(voxels));
      show(voxels);
    });
    return [el("div", { class: "plane" }, name), ...canvases, el("div"), el("label", { class: "slider" }, slider, place)];
  }

  function caseFigure(shown, pictures) {
    const size = pictures.size_dhw, mm = pictures.mm_dhw, planes = planesOf(size, mm);
    const volume = (kind) => voxelsOf(pictures[kind], size, pictures.mosaic_columns);
    const voxelsReady = Promise.all([volume("real"), volume("generated")]).then(([real, generated]) => ({ real, generated }));
    const image = (base64, alt, aspect = 1) => el("img", { src: png(base64), alt, style: `aspect-ratio:${aspect}` });
    const heads = (...titles) => [el("div"), ...titles.map((title) => el("div", { class: "head" }, title))];
    return el("figure", { class: "case" },
      el("figcaption", null, el("b", null, shown.rank), ` ${shown.case} `,
        el("span", null, `PSNR ${number(shown.psnr_db, 2, "∞")} dB · SSIM 3D ${number(shown.ssim_3d, 3)} · MAE ${number(shown.mae_hu, 1)} HU (paper/1)`)),
      el("div", { class: "planes" }, ...heads("Real", "Generated", "Difference"), ...planeNames.map((name) => planeRows(name, planes[name], voxelsReady)),
        el("div", { class: "plane" }, "coronal MIP"), image(pictures.mip_real, "MIP, real", mm[2] / mm[0]), image(pictures.mip_generated, "MIP, generated", mm[2] / mm[0]), el("div")),
      el("div", { class: "planes" }, ...heads("CXR (input)", "DRR of real", "DRR of generated"), el("div", { class: "plane" }, "Frontal"),
        pictures.cxr === null ? el("div", { class: "none" }, "no X-ray given") : image(pictures.cxr, `chest X-ray of ${shown.case}`),
        image(pictures.drr_real, "DRR of the real volume"), image(pictures.drr_generated, "DRR of the generated volume")));
  }

  // ---- Sections of an evaluation

  function psnrCard(psnr, source, label = `PSNR, ${sources[source]}`) {
    const d = psnr[source];
    if (d.n === 0) return card(label, none, "", "not available");
    const test = psnr[`generated_against_${source}`], gain = test && test.median_difference;
    const against = test ? `; right CXR is ${number(gain === null ? null : Math.abs(gain))} dB ${gain >= 0 ? "better" : "worse"}, p ${pValue(test.p_holm)}` : "";
    return card(label, ofCases(d, "median", 2), "dB", `median of ${d.n} cases${against}`);
  }

  function summary(m, arms) {
    const psnr = m.images.metrics.psnr_db, vqgan = m.vqgan_reconstruction;
    return cards(
      ...(psnr ? Object.keys(sources).map((source) => psnrCard(psnr, source)) : []),
      psnr && psnr.autoencoder.n > 0 ? psnrCard(psnr, "autoencoder", "PSNR, autoencoder alone")
        : vqgan ? card("Autoencoder alone", number(vqgan.psnr_db_mean), "dB", `mean reconstruction PSNR of ${vqgan.cases} held-out cases: the ceiling`)
        : card("Autoencoder alone", none, "", "no vae/reconstruction.csv"),
      ...arms.map((arm) => card(`AUC for PE, ${arm.title}`, number(arm.auc, 3), "",
        `${arm.auc_delong ? `95% ${number(arm.auc_delong[0])} to ${number(arm.auc_delong[1])} (DeLong); ` : ""}${arm.n} studies, ${arm.positives} with PE`)));
  }

  function metricCells(metric, compared) {
    const digits = metric.unit ? 2 : 3, arrow = { higher: "↑", lower: "↓", 1: "→ 1" }[metric.better] || "→ 0";
    const source = (key) => (metric[key].n === 0 ? none : [ofCases(metric[key], "median", digits), small(` [${ofCases(metric[key], "q1", digits)}, ${ofCases(metric[key], "q3", digits)}]`)]);
    const against = (key) => {
      const test = metric[`generated_against_${key}`];
      return test ? [number(test.median_difference, digits), small(` p ${pValue(test.p_holm)} (N ${test.n})`)] : none;
    };
    return [[metric.label, small(` ${metric.unit ? `${metric.unit} ` : ""}${arrow}`)], small(metric.protocol), ...compared.map(source), ...compared.slice(1).map(against)];
  }

  // What parts of the model make alone. The true volume has a number of its own in one row only.
  function referenceTable(m) {
    const metrics = Object.values(m.images.metrics), compared = Object.keys(references).filter((key) => metrics.some((metric) => metric[key].n > 0));
    const truth = m.images.metrics.projection && m.images.metrics.projection.truth;
    const own = truth && truth.n > 0 ? [el("p", null, `The DRR of the true volume itself correlates with the X-ray by ${number(truth.median, 3)}`, small(` [${number(truth.q1, 3)}, ${number(truth.q3, 3)}]`), `, that of the generated one by ${number(m.images.metrics.projection.generated.median, 3)}.`)] : [];
    const rows = compared.length < 2 ? [] : [table(["", "Protocol", ...compared.map((key) => references[key]), ...compared.slice(1).map((key) => `Right − ${key}`)], numbers(["", ""], 2 * compared.length - 1), metrics.map((metric) => metricCells(metric, compared)))];
    return [el("h3", null, "The model's parts alone"), ...rows, ...own, caption(m.captions.references)];
  }

  function featureTable(m) {
    const rows = Object.values(m.features).map((f) => [f.label, small(f.protocol), f.value === null ? none : general(f.value, 4), `${f.pictures_real}`, `${f.pictures_generated}`]);
    if (rows.length === 0) return [];
    return [el("h3", null, "Distances between sets"), table(["", "Protocol", "Value", "Real pictures", "Generated pictures"], numbers(["", ""], 3), rows), caption(m.captions.features)];
  }

  function memorisationTable(m) {
    const rows = Object.entries(m.memorisation).map(([space, found]) => {
      const names = found.cases.filter((c) => c.suspicious).map((c) => `${c.case} (${c.nearest_training})`);
      const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
      return [space, number(found.median_generated, 3), number(found.median_real, 3), pValue(found.p), `${found.suspicious} of ${found.cases.length}`, names.slice(0, 5).join(", ") + more];
    });
    if (rows.length === 0) return [];
    return [el("h3", null, "Memorisation"), table(["Space", "Generated to training", "Held-out real to training", "p", "Suspicious", "Which (nearest)"], numbers([""], 5), rows), caption(m.captions.memorisation)];
  }

  function diversity(m) {
    const d = m.images.diversity;
    if (!d) return [];
    return [el("h3", null, "Diversity"),
      el("p", null, `Two samples of one X-ray differ by ${number(d.mae_hu.median, 1)} HU (MAE) with an MS-SSIM of ${number(d.ms_ssim_3d.median, 3)}: median of ${d.cases} cases with several samples.`),
      caption(m.captions.diversity)];
  }

  function imageQuality(m) {
    const metrics = Object.values(m.images.metrics);
    if (metrics.length === 0) return section("Image quality", el("p", null, "No generated volume could be compared with a true one."));
    return section("Image quality",
      table(["", "Protocol", "Right CXR", "Another patient's CXR", "Mean training volume", "Right − another's", "Right − mean"], numbers(["", ""], 5), metrics.map((metric) => metricCells(metric, Object.keys(sources)))),
      caption(m.captions.image_quality), charts(psnrChart(m.images.psnr_by_case), gainChart(m.images.psnr_by_case)), caption(m.captions.psnr_by_case),
      referenceTable(m), diversity(m), featureTable(m), memorisationTable(m));
  }

  function cases(m, pictures) {
    if (m.images.shown_cases.length === 0) return [];
    const half = general(m.protocol.data_range_hu / 2);
    return section("Cases", ...m.images.shown_cases.map((shown, i) => caseFigure(shown, pictures[i])),
      el("div", { class: "scale" }, el("span", null, `−${half} HU`), el("i"), el("span", null, `+${half} HU`)), caption(m.captions.cases));
  }

  // ---- Clots

  const lesionSources = { truth: "True volume", autoencoder: "Autoencoder alone", regression: "Regression alone", generated: "Right CXR", wrong_cxr: "Another patient's CXR", mean_volume: "Mean training volume" };
  const lesionNumbers = { contrast_hu: ["Contrast, HU", 1], contrast_share: ["Share of the true contrast", 2], detectability: ["Detectability", 2], dice: ["Dice", 3], same_side: ["Same side", 2] };
  const groupNames = { all: "All clots", small: "Small", medium: "Medium", large: "Large", central: "Central", peripheral: "Peripheral" };

  // A slice with the border of the clots on it, at the scale of the screen.
  async function drawLesion(canvas, base64, clotBase64) {
    const [image, clot] = [base64, clotBase64].map((picture) => el("img", { src: png(picture) }));
    await Promise.all([image.decode(), clot.decode()]);
    const width = image.naturalWidth, height = image.naturalHeight, scale = Math.max(1, Math.round(720 / width));
    const small = el("canvas", { width, height }), pixels = small.getContext("2d");
    pixels.drawImage(clot, 0, 0);
    const share = pixels.getImageData(0, 0, width, height).data;
    let most = 0;
    for (let i = 0; i < share.length; i += 4) most = Math.max(most, share[i]);
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && share[4 * (y * width + x)] >= Math.max(1, Math.min(128, most / 2));
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#ff9d2e";
    context.lineWidth = Math.max(1.5, scale / 8);
    context.beginPath();
    const edge = (x1, y1, x2, y2) => { context.moveTo(x1 * scale, y1 * scale); context.lineTo(x2 * scale, y2 * scale); };
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (inside(x, y)) {
      if (!inside(x - 1, y)) edge(x, y, x, y + 1);
      if (!inside(x + 1, y)) edge(x + 1, y, x + 1, y + 1);
      if (!inside(x, y - 1)) edge(x, y, x + 1, y);
      if (!inside(x, y + 1)) edge(x, y + 1, x + 1, y + 1);
    }
    context.stroke();
  }

  function lesionFigure(shown, pictures) {
    const cells = { truth: "True volume", autoencoder: "Autoencoder alone", generated: "Generated" };
    const views = Object.entries(cells).map(([key, title]) => {
      if (pictures[key] === null) return el("div", null, el("div", { class: "head" }, title), el("div", { class: "none" }, "not there"));
      const canvas = el("canvas", { style: `aspect-ratio:${pictures.aspect}`, role: "img", "aria-label": `clot of ${shown.case}, ${title}` });
      drawLesion(canvas, pictures[key], pictures.clot);
      return el("div", null, el("div", { class: "head" }, title), canvas);
    });
    return el("figure", { class: "case" },
      el("figcaption", null, el("b", null, `${number(shown.ml, 2)} ml`), ` ${shown.case} `, el("span", null, `${shown.place} · contrast ${number(shown.contrast_hu, 0)} HU, generated ${number(shown.generated_contrast_hu, 0)} HU (x2ctpa/1)`)),
      el("div", { class: "clots" }, ...views));
  }

  function lesions(m, pictures) {
    if (!m.lesions) return [];
    const groups = m.lesions.groups, keys = Object.keys(lesionSources).filter((key) => groups.all[key].contrast_hu.n > 0);
    const value = (group, key, name) => { const d = group[key][name]; return d.n === 0 ? none : number(name === "same_side" ? d.mean : d.median, lesionNumbers[name][1]); };
    const test = (name, key) => { const found = (m.lesions.tests[name] || {})[`generated_against_${key}`]; return found ? [number(found.median_difference, lesionNumbers[name][1]), small(` p ${pValue(found.p_holm)} (N ${found.n})`)] : none; };
    const rows = Object.keys(lesionNumbers).map((name) => [lesionNumbers[name][0], ...keys.map((key) => value(groups.all, key, name)), test(name, "wrong_cxr"), test(name, "mean_volume")]);
    const bySize = Object.keys(groups).filter((name) => name !== "all" && groups[name].cases > 0).flatMap((name) => ["contrast_share", "dice"].map((measure, i) => [i === 0 ? [groupNames[name], small(` ${groups[name].cases} cases`)] : "", lesionNumbers[measure][0], ...keys.map((key) => value(groups[name], key, measure))]));
    return section("Clots", el("p", null, `${m.lesions.cases} cases have a mask of their clots.`),
      table(["", ...keys.map((key) => lesionSources[key]), "Right − another's", "Right − mean"], numbers([""], keys.length + 2), rows),
      el("h3", null, "By size and place"), table(["", "", ...keys.map((key) => lesionSources[key])], numbers(["", ""], keys.length), bySize),
      el("h3", null, "From the largest to the smallest"), ...m.lesions.shown_cases.map((shown, i) => lesionFigure(shown, pictures[i])), caption(m.captions.lesions));
  }

  const percent = (p) => (p.value === null ? none : [fixed(100 * p.value, 1), small(range(p.interval, 0, 100))]);
  const decisions = ["accuracy", "specificity", "sensitivity", "ppv", "npv"];

  function armRows(arm, published) {
    const spread = typeof arm.auc_bootstrap_sd === "number" ? small(` ± ${number(arm.auc_bootstrap_sd, 3)}`) : "";
    const auc = [number(arm.auc, 3), spread, arm.auc_delong ? small(range(arm.auc_delong)) : "", arm.auc_bootstrap ? small(`bootstrap${range(arm.auc_bootstrap)}`) : ""];
    const rows = [[arm.title, `${arm.n} / ${arm.positives}`, arm.auc === null ? none : auc, ...decisions.map((key) => percent(arm[key]))]];
    if (published) {
      // A second published figure goes below the first.
      const [first, ...further] = published.auc.split("; ");
      rows.push([el("i", null, `${published.title}, paper`), "", [first, ...further.map((text) => small(text))], ...decisions.map((key) => published[`${key}_percent`])]);
    }
    return rows;
  }

  function calibrationTable(m, arms) {
    if (arms.length === 0) return [];
    const withError = (r, key) => (r ? [number(r[key]), small(` ±${number(1.96 * r[`${key}_error`])}`)] : none);
    const rows = arms.map((arm) => {
      const c = arm.calibration;
      return [arm.title, number(arm.average_precision, 3), number(c.expected_error, 3), number(c.brier, 3), number(c.reliability, 4), number(c.resolution, 4), number(c.uncertainty, 4), withError(c.recalibration, "slope"), withError(c.recalibration, "intercept")];
    });
    return [el("h3", null, "Calibration"),
      table(["Arm", "Average precision", "ECE", "Brier", "Reliability", "Resolution", "Uncertainty", "Slope [95%]", "Intercept [95%]"], numbers([""], 8), rows), caption(m.captions.calibration)];
  }

  function comparisonTable(m) {
    const holm = (test) => (test ? [pValue(test.p), small(` (Holm ${pValue(test.p_holm)})`)] : none);
    const rows = m.classification.comparisons.map((c) => [
      `${c.first} − ${c.second}`, `${c.n}`,
      c.delong ? [`${c.delong.difference < 0 ? "" : "+"}${fixed(c.delong.difference, 3)}`, small(range(c.delong.interval))] : none,
      holm(c.delong), number(c.detectable_auc_difference), c.kolmogorov_smirnov ? number(c.kolmogorov_smirnov.statistic, 3) : none, holm(c.kolmogorov_smirnov)]);
    if (rows.length === 0) return [];
    return [el("h3", null, "Between arms"), table(["Arms", "N", "AUC difference [95%]", "p, DeLong", "Detectable", "KS distance", "p, KS"], numbers([""], 6), rows), caption(m.captions.comparisons)];
  }

  function classification(m, arms) {
    if (arms.length === 0) return section("Pulmonary embolism", el("p", null, "There are no score tables: nothing was classified."));
    const calibrated = arms.filter((arm) => arm.calibration), separable = arms.filter((arm) => arm.roc);
    return section("Pulmonary embolism",
      table(["Arm", "N / PE", "AUC ± SD [95%]", "Accuracy %", "Specificity %", "Sensitivity %", "PPV %", "NPV %"], numbers([""], 7), arms.flatMap((arm) => armRows(arm, m.classification.published[arm.name]))),
      caption(m.captions.classification),
      el("ul", { class: "notes" }, ...arms.map((arm) => el("li", null, [`${arm.title}: threshold ${arm.threshold === null ? none : general(arm.threshold, 4)}, ${arm.threshold_source}`, ...arm.notes].map((text) => `${text}.`).join(" ")))),
      charts(separable.length > 0 ? rocChart(separable) : "", ...arms.map(scoreChart), ...(calibrated.length > 0 ? [calibrationChart(calibrated), benefitChart(calibrated)] : [])),
      caption(m.captions.classification_charts), calibrationTable(m, calibrated), comparisonTable(m));
  }

  function training(m) {
    const curves = Object.entries(m.training);
    return curves.length === 0 ? [] : section("Training", charts(...curves.map(trainingChart)), caption(m.captions.training));
  }

  // Texts below each other, after a name in bold; what is more is in `file`.
  const listed = (entries, most, file) => [
    ...entries.slice(0, most).map(([name, text]) => el("div", null, el("b", null, name), `: ${text}`)),
    ...(entries.length > most ? [el("div", null, `and ${entries.length - most} more in ${file}`)] : [])];

  function remarks(m) {
    const kindsOfProblem = [...new Set(m.problems.map((p) => p.kind))].sort();
    if (kindsOfProblem.length === 0) return section("Remarks on the input", el("p", null, "None: every case was paired and read."));
    const rows = kindsOfProblem.map((kind) => {
      const entries = m.problems.filter((p) => p.kind === kind).map((p) => [p.name, p.detail]);
      return [kind, `${entries.length}`, listed(entries, 5, "problems.csv")];
    });
    return section("Remarks on the input", table(["Kind", "Number", "What"], ["", "", "text"], rows, "stacked"));
  }

  const provenance = (m) => section("Provenance", table(["", ""], ["", "text"], Object.entries(m.provenance).map(([name, value]) => [name, el("code", null, value)]), "stacked"));

  function evaluation(m, pictures) {
    const arms = Object.entries(m.classification.arms).map(([name, arm], i) => ({ ...arm, name, colour: colours.arms[i % colours.arms.length] }));
    return [summary(m, arms), imageQuality(m), cases(m, pictures.cases), lesions(m, pictures.lesions), classification(m, arms), training(m), remarks(m), provenance(m)];
  }

  // ---- Sections of a check

  const chip = (severity, text = severity) => el("span", { class: `chip ${severity}` }, text);
  const shortened = (text, most) => (text.length <= most ? text : `${text.slice(0, most)} ...`);

  function checkSummary(check) {
    const patients = new Set(check.studies.map((study) => study.patient_id)).size;
    const pairs = check.studies.filter((study) => study.usable && study.ct_source && study.cxr_source).length;
    return cards(
      card("Studies", `${check.studies_total}`, "", `of ${patients} patients`), card("Usable", `${check.usable}`, "", `${pairs} of them pairs`),
      card("Would be rejected", `${check.studies_total - check.usable}`, "", "by preprocess with these options"),
      card("Errors", `${check.errors}`, "", "must be put right"), card("Warnings", `${check.warnings}`, "", "look at them"));
  }

  function findings(check) {
    if (check.by_code.length === 0) return section("Findings", el("p", null, "None."));
    const rows = check.by_code.map((found) => [
      chip(found.severity), [el("code", null, found.code), small(found.count === 1 ? "once" : `${found.count} times`)],
      listed(found.entries.map((entry) => [shortened(entry.where, 400), shortened(entry.what, 400)]), 12, "report.json"), found.what_to_do]);
    return section("Findings", table(["", "Code", "Where and what", "What to do"], ["", "code", "text", "text"], rows, "stacked"));
  }

  function factsOf(study) {
    const ct = study.ct, cxr = study.cxr, facts = [];
    if (ct) {
      const parts = [`${[2, 1, 0].map((i) => ct.size_dhw[i]).join(" x ")} voxels of ${ct.spacing_mm.map((mm) => fixed(mm, 2)).join(" x ")} mm`, `values ${general(ct.min_value)} to ${general(ct.max_value)}`];
      if (ct.air_hu !== null) parts.push(`air ${fixed(ct.air_hu, 0)} HU`);
      if (ct.lung_litres > 0) parts.push(`lungs ${fixed(ct.lung_litres, 2)} l`);
      if (ct.contrast_hu !== null) parts.push(`vessels about ${fixed(ct.contrast_hu, 0)} HU`);
      facts.push(`${parts.join(", ")}.`);
    }
    if (cxr) facts.push(`X-ray ${cxr.width} x ${cxr.height}, ${cxr.bits} bits, ${cxr.photometric}${cxr.inverted ? ", inverted to bone bright" : ""}.`);
    return facts.join(" ");
  }

  function studyFigure(study, pictures) {
    const names = ["axial slice", "coronal slice", "X-ray"], pe = study.pe === null ? "PE unknown" : study.pe ? "PE" : "no PE";
    const picture = (base64, i) => el("div", null, base64 ? el("img", { src: png(base64), alt: `${names[i]} of ${study.id}` }) : `no ${names[i]}`);
    return el("div", { class: "study" },
      el("h3", null, `${study.id} `, study.usable ? chip(study.worst) : chip("error", "would be rejected")),
      el("div", { class: "pictures" }, ...pictures.map(picture)),
      el("p", { class: "facts" }, `patient ${study.patient_id}; ${pe}; ${study.split || "split not given"}. ${factsOf(study)}`),
      study.findings.length === 0 ? "" : el("ul", null, ...study.findings.map((f) => el("li", null, chip(f.severity), " ", el("code", null, f.code), ` ${shortened(f.what, 300)}`))));
  }

  function studies(check, pictures) {
    const shown = check.shown_studies;
    return section("Studies", el("div", { class: "studies" }, ...shown.map((place, i) => studyFigure(check.studies[place], pictures[i]))),
      shown.length < check.studies_total ? caption(`The ${shown.length} studies with the gravest findings of ${check.studies_total}; all are in report.json.`) : "",
      caption(check.captions.studies));
  }

  // ---- The page

  const data = embedded("data"), pictures = embedded("pictures"), isCheck = data.schema.startsWith("x2ctpa.check/");
  const kind = isCheck ? "x2ctpa data check" : "x2ctpa evaluation";
  document.title = `${data.title} – ${kind}`;
  document.body.append(
    el("header", null, el("div", null, el("p", { class: "kind" }, kind), el("h1", null, data.title)), el("p", { class: "notice" }, data.notice)),
    el("main", null, ...(isCheck ? [checkSummary(data), findings(data), studies(data, pictures)] : evaluation(data, pictures)).flat()));
  drawCharts();
  const markWideTables = () => document.querySelectorAll(".table").forEach((box) => {
    const scroll = box.querySelector(".scroll");
    box.classList.toggle("scrolls", scroll.scrollWidth > scroll.clientWidth + 1);
  });
  markWideTables();
  addEventListener("resize", markWideTables);
})();
