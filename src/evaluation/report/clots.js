// The section of an evaluation about clots, and their pictures.

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
  const test = (name, key) => { const found = (m.lesions.tests[name] || {})[`generated_against_${key}`]; return found ? [number(found.median_difference, lesionNumbers[name][1]), small(` ${found.p_holm === null ? "" : `p ${pValue(found.p_holm)} `}(N ${found.n})`)] : none; };
  const rows = Object.keys(lesionNumbers).map((name) => [lesionNumbers[name][0], ...keys.map((key) => value(groups.all, key, name)), test(name, "wrong_cxr"), test(name, "mean_volume")]);
  const bySize = Object.keys(groups).filter((name) => name !== "all" && groups[name].cases > 0).flatMap((name) => ["contrast_share", "dice"].map((measure, i) => [i === 0 ? [groupNames[name], small(` ${counted(groups[name].cases, "case")}`)] : "", lesionNumbers[measure][0], ...keys.map((key) => value(groups[name], key, measure))]));
  return section("Clots", el("p", null, `${m.lesions.cases === 1 ? "1 case has" : `${m.lesions.cases} cases have`} a mask of the clots.`),
    table(["", ...keys.map((key) => lesionSources[key]), "Right − another's", "Right − mean"], numbers([""], keys.length + 2), rows),
    el("h3", null, "By size and place"), table(["", "", ...keys.map((key) => lesionSources[key])], numbers(["", ""], keys.length), bySize),
    el("h3", null, "From the largest to the smallest"), ...m.lesions.shown_cases.map((shown, i) => lesionFigure(shown, pictures[i])), caption(m.captions.lesions));
}
