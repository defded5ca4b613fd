// The pictures of a case: three planes of slices to move through, projections, X-rays.

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
