// The sections of an evaluation, from metrics.json.

function psnrCard(psnr, labels, source) {
  const label = `PSNR, ${labels[source]}`;
  const d = psnr[source];
  if (d.n === 0) return card(label, none, "", "not available");
  const test = psnr[`generated_against_${source}`], gain = test && test.median_difference;
  const p = test && test.p_holm !== null ? `, p ${pValue(test.p_holm)}` : "";
  const against = test ? `; ${labels.generated} is ${number(gain === null ? null : Math.abs(gain))} dB ${gain >= 0 ? "better" : "worse"}${p}` : "";
  return card(label, ofCases(d, "median", 2), "dB", `${d.n === 1 ? "" : "median of "}${counted(d.n, "case")}${against}`);
}

function summary(m, arms) {
  const psnr = m.images.metrics.psnr_db, vqgan = m.vqgan_reconstruction, labels = m.images.labels;
  return cards(
    ...(psnr ? ["generated", ...shownBaselines(m)].map((source) => psnrCard(psnr, labels, source)) : []),
    psnr && psnr.autoencoder.n > 0 ? psnrCard(psnr, labels, "autoencoder")
      : vqgan ? card("Autoencoder alone", number(vqgan.psnr_db_mean), "dB", `mean reconstruction PSNR of ${counted(vqgan.cases, "held-out case")}: the ceiling`) : "",
    ...arms.map((arm) => card(`AUC for PE, ${arm.title}`, number(arm.auc, 3), "",
      `${arm.auc_delong ? `95% ${number(arm.auc_delong[0])} to ${number(arm.auc_delong[1])} (DeLong); ` : ""}${counted(arm.n, "study", "studies")}, ${arm.positives} with PE`)));
}

const shownBaselines = (m) => baselines.filter((key) => Object.values(m.images.metrics).some((metric) => metric[key].n > 0));

function metricCells(metric, compared, cases) {
  const of = metric.generated.n < cases ? small(` N ${metric.generated.n}`) : "";
  const digits = metric.unit ? 2 : 3, arrow = { higher: "↑", lower: "↓", 1: "→ 1" }[metric.better] || "→ 0";
  const source = (key) => (metric[key].n === 0 ? none : [ofCases(metric[key], "median", digits), small(` [${ofCases(metric[key], "q1", digits)}, ${ofCases(metric[key], "q3", digits)}]`)]);
  const against = (key) => {
    const test = metric[`generated_against_${key}`];
    return test ? [number(test.median_difference, digits), small(` ${test.p_holm === null ? "" : `p ${pValue(test.p_holm)} `}(N ${test.n})`)] : none;
  };
  return [[metric.label, of, small(` ${metric.unit ? `${metric.unit} ` : ""}${arrow}`)], small(metric.protocol), ...compared.map(source), ...compared.slice(1).map(against)];
}

// What parts of the model make alone. The true volume has a number of its own in one row only.
function referenceTable(m) {
  const metrics = Object.values(m.images.metrics), compared = references.filter((key) => metrics.some((metric) => metric[key].n > 0)), labels = m.images.labels;
  const truth = m.images.metrics.projection && m.images.metrics.projection.truth;
  const own = truth && truth.n > 0 ? [el("p", null, `The DRR of the true volume itself correlates with the X-ray by ${number(truth.median, 3)}`, small(` [${number(truth.q1, 3)}, ${number(truth.q3, 3)}]`), `, that of the generated one by ${number(m.images.metrics.projection.generated.median, 3)}.`)] : [];
  const rows = compared.length < 2 ? [] : [table(["", "Protocol", ...compared.map((key) => capital(labels[key])), ...compared.slice(1).map((key) => `Right − ${key}`)], numbers(["", ""], 2 * compared.length - 1), metrics.map((metric) => metricCells(metric, compared, m.images.cases)))];
  if (rows.length + own.length === 0 && m.images.without_references === "") return [];
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
    el("p", null, `Two samples of one X-ray differ by ${number(d.mae_hu.median, 1)} HU (MAE) with an MS-SSIM of ${number(d.ms_ssim_3d.median, 3)}: median of ${counted(d.cases, "case")} with several samples.`),
    caption(m.captions.diversity)];
}

function imageQuality(m) {
  const metrics = Object.values(m.images.metrics);
  if (metrics.length === 0) return section("Image quality", el("p", null, "No generated volume could be compared with a true one."));
  const labels = m.images.labels, shown = shownBaselines(m), compared = ["generated", ...shown];
  const untold = Object.values(m.images.untold).map((row) => [row.label, small(row.protocol), none, ...shown.flatMap(() => [none, none])]);
  const reasons = [...new Set(Object.values(m.images.untold).map((row) => row.reason))].map((reason) =>
    el("li", null, `${Object.values(m.images.untold).filter((row) => row.reason === reason).map((row) => row.label).join(", ")}: ${reason}.`));
  const first = capital(labels.generated).split(" ")[0];
  return section("Image quality",
    table(["", "Protocol", ...compared.map((key) => capital(labels[key])), ...shown.map((key) => `${first} − ${{ wrong_cxr: "another's", mean_volume: "mean" }[key]}`)], numbers(["", ""], 2 * compared.length - 1), [...metrics.map((metric) => metricCells(metric, compared, m.images.cases)), ...untold]),
    ...(reasons.length > 0 ? [el("ul", { class: "notes" }, ...reasons)] : []),
    caption(m.captions.image_quality), charts(psnrChart(m.images.psnr_by_case, labels), shown.length > 0 ? gainChart(m.images.psnr_by_case, labels) : ""), caption(m.captions.psnr_by_case),
    referenceTable(m), diversity(m), featureTable(m), memorisationTable(m));
}

function cases(m, pictures) {
  if (m.images.shown_cases.length === 0) return [];
  const half = general(m.protocol.data_range_hu / 2);
  return section("Cases", ...m.images.shown_cases.map((shown, i) => caseFigure(shown, pictures[i])),
    el("div", { class: "scale" }, el("span", null, `−${half} HU`), el("i"), el("span", null, `+${half} HU`)), caption(m.captions.cases));
}

const percent = (p) => (p.value === null ? none : [fixed(100 * p.value, 1), small(range(p.interval, 0, 100))]);
const decisions = ["accuracy", "specificity", "sensitivity", "ppv", "npv"];

// A second published figure goes below the first.
function publishedRow(published) {
  const [first, ...further] = published.auc.split("; ");
  return [el("i", null, `${published.title}, paper`), "", [first, ...further.map((text) => small(text))], ...decisions.map((key) => published[`${key}_percent`])];
}

function armRows(arm, published) {
  const spread = typeof arm.auc_bootstrap_sd === "number" ? small(` ± ${number(arm.auc_bootstrap_sd, 3)}`) : "";
  const auc = [number(arm.auc, 3), spread, arm.auc_delong ? small(range(arm.auc_delong)) : "", arm.auc_bootstrap ? small(`bootstrap${range(arm.auc_bootstrap)}`) : ""];
  const rows = [[arm.title, `${arm.n} / ${arm.positives}`, arm.auc === null ? none : auc, ...decisions.map((key) => percent(arm[key]))]];
  if (published) rows.push(publishedRow(published));
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
  const unmatched = Object.entries(m.classification.published).filter(([name]) => !arms.some((arm) => arm.name === name)).map(([, row]) => publishedRow(row));
  const calibrated = arms.filter((arm) => arm.calibration), separable = arms.filter((arm) => arm.roc);
  return section("Pulmonary embolism",
    table(["Arm", "N / PE", "AUC ± SD [95%]", "Accuracy %", "Specificity %", "Sensitivity %", "PPV %", "NPV %"], numbers([""], 7), [...arms.flatMap((arm) => armRows(arm, m.classification.published[arm.name])), ...unmatched]),
    caption(m.captions.classification),
    el("ul", { class: "notes" }, ...arms.map((arm) => el("li", null, [`${arm.title}: threshold ${arm.threshold === null ? none : general(arm.threshold, 4)}, ${arm.threshold_source}`, ...arm.notes].map((text) => `${text}.`).join(" ")))),
    charts(separable.length > 0 ? rocChart(separable) : "", ...arms.map(scoreChart), ...(calibrated.length > 0 ? [calibrationChart(calibrated), benefitChart(calibrated)] : [])),
    caption(m.captions.classification_charts), calibrationTable(m, calibrated), comparisonTable(m));
}

function training(m) {
  const curves = Object.entries(m.training);
  return curves.length === 0 ? [] : section("Training", charts(...curves.map(trainingChart)), caption(m.captions.training));
}

function remarks(m) {
  const kindsOfProblem = [...new Set(m.problems.map((p) => p.kind))].sort();
  if (kindsOfProblem.length === 0) return section("Remarks on the input", el("p", null, "None: every case was paired and read."));
  const rows = kindsOfProblem.map((kind) => {
    const entries = m.problems.filter((p) => p.kind === kind).map((p) => [p.name, p.detail]);
    return [kind, `${entries.length}`, listed(entries, 5, "problems.csv")];
  });
  return section("Remarks on the input", table(["Kind", "Number", "What"], ["", "", "text"], rows, "stacked"));
}

const provenance = (m) => section("Provenance", table(["", ""], ["", "text"], Object.entries(m.provenance).map(([name, value]) => [name, el("code", null, ...breakable(value))]), "stacked"));

function evaluation(m, pictures) {
  const arms = Object.entries(m.classification.arms).map(([name, arm], i) => ({ ...arm, name, colour: colours.arms[i % colours.arms.length] }));
  return [summary(m, arms), imageQuality(m), cases(m, pictures.cases), lesions(m, pictures.lesions), classification(m, arms), training(m), remarks(m), provenance(m)];
}
