#!/usr/bin/env python3
"""Manifests and tables of scripts/study.sh.

study_tables.py manifest RUN FILE [--labels N --seed S] [--sign NAME] [--held-out N]
                                 the study's manifest in its splits: with the labels of N training
                                 patients, drawn within each class, with a sign for the label, or
                                 with the first N held-out patients alone
study_tables.py volumes RUN      volumes and clots by source
study_tables.py labels RUN       areas by arm and number of labels; RUN/labels.svg
study_tables.py signs RUN        areas of each X-ray sign by itself
study_tables.py recipes RUN      volumes by recipe
"""

import argparse
import csv
import json
import math
import pathlib
import random
import statistics

ARMS = {
    "cxr": "X-ray",
    "generated": "generated",
    "generated-taught": "generated, taught",
    "fused-taught": "fused, taught",
    "distilled": "distilled",
    "transfer": "transfer",
    "ctpa": "true CTPA",
}
LABELS = (100, 200, 500, 1000)
SIGNS = ("enlarged_pa", "effusion", "oligemia", "wedge")

# How often a sign comes with PE and without (src/imaging/phantom/phantom_patient.cpp).
CHANCES = {
    "enlarged_pa": (0.48, 0.16),
    "oligemia": (0.35, 0.07),
    "wedge": (0.30, 0.07),
    "effusion": (0.42, 0.18),
    "opacity": (0.10, 0.16),
}

METRICS = {
    "psnr_db": ("PSNR, dB", 2),
    "ssim_3d": ("SSIM 3D", 3),
    "mae_hu": ("MAE, HU", 1),
    "sharpness": ("sharpness", 2),
    "lung_dice": ("Dice of lungs", 3),
    "artery_dice": ("Dice of arteries", 3),
    "vessel_dice": ("Dice of central vessels", 3),
    "vessel_contrast_hu": ("contrast error in central vessels, HU", 1),
    "artery_contrast_hu": ("contrast error in arteries, HU", 1),
    "projection": ("correlation of DRR and X-ray", 3),
    "projection_shortfall": ("the same less the true volume's", 3),
}
SOURCES = {
    "generated": "right X-ray",
    "wrong_cxr": "another patient's",
    "mean_volume": "mean volume",
    "regression": "regression alone",
    "autoencoder": "autoencoder alone",
}


def rows_of(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


def metrics_of(folder):
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def p_text(p):
    return "" if p is None else f"{p:.2g}"


def area(labels, scores):
    """The share of pairs in which the positive scores higher; ties count half."""
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    ranks = [0.0] * len(scores)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and scores[order[last + 1]] == scores[order[first]]:
            last += 1
        for i in order[first : last + 1]:
            ranks[i] = (first + last) / 2 + 1
        first = last + 1
    positives = sum(labels)
    above = (
        sum(rank for rank, label in zip(ranks, labels) if label) - positives * (positives + 1) / 2
    )
    return above / (positives * (len(labels) - positives))


def manifest(run, out, labels=None, seed=0, sign=None, held_out=None):
    """Rows of the phantom's manifest with the split that the dataset gave them."""
    rows = rows_of(run / "phantom" / "manifest.csv")
    split = {row["id"]: row["split"] for row in rows_of(run / "dataset" / "index.csv")}
    rows = [dict(row, split=split[row["id"]]) for row in rows if row["id"] in split]
    if sign:
        for row in rows:
            row["pe"] = str(int(sign in row["signs"].split(";")))
    if held_out:
        test = [row["id"] for row in rows if row["split"] == "test"][:held_out]
        rows = [row for row in rows if row["split"] != "test" or row["id"] in test]
    if labels:
        training = [row for row in rows if row["split"] == "train"]
        draw = random.Random(f"study labels {seed}")
        kept = set()
        for label in ("0", "1"):
            ids = [row["id"] for row in training if row["pe"] == label]
            draw.shuffle(ids)
            kept.update(ids[: round(labels * len(ids) / len(training))])
        for row in training:
            if row["id"] not in kept:
                row["pe"] = ""
    with open(out, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def volumes(run):
    found = metrics_of(run)
    window = found["protocol"]["window_hu"]
    print(
        f"{found['images']['cases']} held-out patients, medians; HU clipped to {window[0]:.0f}.."
        f"{window[1]:.0f}, data range {window[1] - window[0]:.0f} HU; p: Wilcoxon, Holm\n"
    )
    rows = []
    for key, (label, digits) in METRICS.items():
        metric = found["images"]["metrics"].get(key)
        if not metric:
            continue
        row = [label]
        for source in SOURCES:
            row.append(number(metric.get(source, {}).get("median"), digits))
        for other in ("wrong_cxr", "mean_volume"):
            row.append(p_text(metric.get(f"generated_against_{other}", {}).get("p_holm")))
        rows.append(row)
    table(["", *SOURCES.values(), "p, another's", "p, mean volume"], rows)
    lesions = found.get("lesions")
    if not lesions:
        return
    sources = {"truth": "true volume", **SOURCES}
    rows = []
    for group, values in lesions["groups"].items():
        for key, label in (("contrast_hu", "contrast, HU"), ("detectability", "detectability")):
            digits = 1 if key == "contrast_hu" else 2
            row = [f"{group} ({values['cases']})", label]
            row += [number(values.get(s, {}).get(key, {}).get("median"), digits) for s in sources]
            rows.append(row)
    table(["clots (cases)", "", *sources.values()], rows)


def limit_of(run):
    """The area of the phantom's own odds: every sign known exactly."""
    split = {row["id"]: row["split"] for row in rows_of(run / "dataset" / "index.csv")}
    labels, scores = [], []
    for row in rows_of(run / "phantom" / "manifest.csv"):
        if split.get(row["id"]) != "test":
            continue
        signs = row["signs"].split(";")
        odds = 0.0
        for sign, (with_pe, without) in CHANCES.items():
            odds += math.log(with_pe / without if sign in signs else (1 - with_pe) / (1 - without))
        labels.append(int(row["pe"]))
        scores.append(odds)
    return area(labels, scores)


def labels(run):
    limit = limit_of(run)
    print(f"AUC by X-ray signs that are known exactly, the phantom's own odds: {limit:.3f}\n")
    curves = {arm: [] for arm in ARMS}
    rows = []
    for count in LABELS:
        if not (run / f"labels-{count}" / "evaluation" / "metrics.json").exists():
            continue
        found = metrics_of(run / f"labels-{count}")["classification"]
        tests = {
            frozenset((test["first"], test["second"])): test["delong"]
            for test in found["comparisons"]
        }
        row = [str(count)]
        for arm in ARMS:
            own = found["arms"].get(arm)
            if not own:
                row.append("")
                continue
            curves[arm].append((count, own["auc"], own["auc_delong"]))
            text = f"{own['auc']:.3f} [{own['auc_delong'][0]:.2f}-{own['auc_delong'][1]:.2f}]"
            if arm != "cxr":
                text += f", p {p_text(tests[frozenset((arm, 'cxr'))]['p'])}"
            row.append(text)
        rows.append(row)
    table(["labels", *ARMS.values()], rows)
    print("In brackets: DeLong's 95% interval; p: DeLong against the X-ray, not corrected.\n")
    draw_curves(run / "labels.svg", curves, limit)


class Drawing:
    """A diagram as SVG, by hand, so that the study needs nothing but Python."""

    width, height, left, top = 520, 320, 60, 20

    def __init__(self):
        self.parts = []
        self.add("rect", x=self.left, y=self.top, width=self.width, height=self.height, fill="none")

    def x(self, labels):
        share = math.log(labels / LABELS[0]) / math.log(LABELS[-1] / LABELS[0])
        return round(self.left + self.width * share, 1)

    def y(self, area):
        return round(self.top + self.height * (1 - max(area, 0.5)) / 0.5, 1)

    def add(self, kind, text=None, **given):
        style = {"fill": "none", "stroke": "#888"} if text is None else {}
        given = {**style, **given}
        words = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in given.items())
        self.parts.append(
            f"<{kind} {words}/>" if text is None else f"<{kind} {words}>{text}</{kind}>"
        )

    def line(self, first, last, **style):
        self.add("line", x1=first[0], y1=first[1], x2=last[0], y2=last[1], **style)

    def write(self, file):
        size = f"0 0 {self.left + self.width + 150} {self.top + self.height + 50}"
        file.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" font-family="sans-serif" '
            'font-size="13"><rect width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


def draw_curves(file, curves, limit):
    colours = ("#d62728", "#7fb3d9", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#444444")
    drawing = Drawing()
    x, y, left, right = drawing.x, drawing.y, Drawing.left, Drawing.left + Drawing.width
    bottom = Drawing.top + Drawing.height
    drawing.line((left, y(limit)), (right, y(limit)), stroke_dasharray="6 4")
    drawing.add("text", "every X-ray sign known exactly", x=left + 6, y=y(limit) - 5)
    for tenth in range(5, 11):
        drawing.add("text", tenth / 10, x=left - 8, y=y(tenth / 10) + 4, text_anchor="end")
    for n in LABELS:
        drawing.add("text", n, x=x(n), y=bottom + 18, text_anchor="middle")
    middle = left + Drawing.width / 2
    drawing.add(
        "text", "training patients with a label", x=middle, y=bottom + 38, text_anchor="middle"
    )
    drawing.add("text", "AUC for PE", x=left - 45, y=Drawing.top - 6)
    for i, (arm, points) in enumerate(curves.items()):
        line = " ".join(f"{x(n)},{y(a)}" for n, a, _ in points)
        drawing.add("polyline", points=line, stroke=colours[i], stroke_width=2)
        for n, a, (lower, upper) in points:
            beside = x(n) + 2 * (i - 3)
            drawing.line(
                (beside, y(lower)), (beside, y(upper)), stroke=colours[i], stroke_opacity=0.5
            )
            drawing.add("circle", cx=x(n), cy=y(a), r=3, fill=colours[i], stroke=colours[i])
        drawing.add("text", ARMS[arm], x=right + 12, y=Drawing.top + 16 + 20 * i, fill=colours[i])
    drawing.write(file)


def signs(run):
    rows = []
    for sign in SIGNS:
        row = [sign]
        for arm in ("cxr", "generated", "ctpa"):
            scores = rows_of(run / f"sign-{sign}" / "classifier" / arm / "scores.csv")
            test = [row for row in scores if row["split"] == "test"]
            row.append(
                f"{area([int(r['label']) for r in test], [float(r['score']) for r in test]):.3f}"
            )
        rows.append(row)
    table(["sign", "X-ray", "generated", "true CTPA"], rows)


def seconds_of(folder, name):
    return sum(float(word) for word in (folder / f"cpu-{name}").read_text().split()[-2:])


def recipes(run):
    held_out = {row["id"] for row in rows_of(run / "narrow" / "dataset" / "index.csv")}
    rows = []
    for name, folder, autoencoder in (
        ("published", run / "paper", run / "narrow"),
        ("0.1.0", run / "recommended-vqgan", run / "narrow"),
        ("the demo's", run, run),
    ):
        cases = rows_of(folder / "evaluation" / "per_case.csv")
        cases = [case for case in cases if case["case_id"] in held_out]
        row = [
            name,
            f"{seconds_of(autoencoder, 'train-vae'):.0f}",
            f"{seconds_of(folder, 'train-diffusion'):.0f}",
        ]
        for key, (_, digits) in METRICS.items():
            values = [float(case[f"generated_{key}"] or "nan") for case in cases]
            values = [value for value in values if value == value]
            row.append(number(statistics.median(values) if values else None, digits))
        rows.append(row)
    head = ["recipe", "autoencoder, s", "generator, s", *(label for label, _ in METRICS.values())]
    table(head, rows)
    print(f"Medians over {len(cases)} held-out patients; seconds: of all cores together.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"volumes": volumes, "labels": labels, "signs": signs, "recipes": recipes}
    parser.add_argument("what", choices=("manifest", *tables))
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("file", type=pathlib.Path, nargs="?")
    parser.add_argument("--labels", type=int)
    parser.add_argument("--sign")
    parser.add_argument("--held-out", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "manifest":
        manifest(given.run, given.file, given.labels, given.seed, given.sign, given.held_out)
    else:
        tables[given.what](given.run)


if __name__ == "__main__":
    main()
