// The sections of a check, from report.json.

const chip = (severity, text = severity) => el("span", { class: `chip ${severity}` }, text);
const shortened = (text, most) => (text.length <= most ? text : `${text.slice(0, most)} ...`);

function checkSummary(check) {
  const patients = new Set(check.studies.map((study) => study.patient_id)).size;
  const pairs = check.studies.filter((study) => study.usable && study.ct_source && study.cxr_source).length;
  return cards(
    card("Studies", `${check.studies_total}`, "", `of ${counted(patients, "patient")}`), card("Usable", `${check.usable}`, "", `${pairs} of them ${pairs === 1 ? "a pair" : "pairs"}`),
    card("Would be rejected", `${check.studies_total - check.usable}`, "", "by preprocess with these options"),
    card("Errors", `${check.errors}`, "", "must be put right"), card("Warnings", `${check.warnings}`, "", "look at them"));
}

function findings(check) {
  if (check.by_code.length === 0) return section("Findings", el("p", null, "None."));
  const rows = check.by_code.map((found) => [
    chip(found.severity), [el("code", null, found.code), small(found.count === 1 ? "once" : `${found.count} times`)],
    listed(found.entries.map((entry) => [shortened(entry.where, 400), shortened(entry.what, 400)]), 12, "report.json"), unbroken(found.what_to_do)]);
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
    el("h3", null, ...breakable(`${study.id} `), study.usable ? chip(study.worst) : chip("error", "would be rejected")),
    el("div", { class: "pictures" }, ...pictures.map(picture)),
    el("p", { class: "facts" }, `patient ${study.patient_id}; ${pe}; ${study.split || "split not given"}. ${factsOf(study)}`),
    study.findings.length === 0 ? "" : el("ul", null, ...study.findings.map((f) => el("li", null, chip(f.severity), " ", el("code", null, f.code), ...breakable(` ${shortened(f.what, 300)}`)))));
}

function studies(check, pictures) {
  const shown = check.shown_studies;
  return section("Studies", el("div", { class: "studies" }, ...shown.map((place, i) => studyFigure(check.studies[place], pictures[i]))),
    shown.length < check.studies_total ? caption(`The ${shown.length} studies with the gravest findings of ${check.studies_total}; all are in report.json.`) : "",
    caption(check.captions.studies));
}
