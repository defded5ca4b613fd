#!/usr/bin/env python3
"""Compares the numbers of `x2ctpa evaluate` with published implementations on random cases.

    python3 -m venv .venv-metrics
    .venv-metrics/bin/pip install numpy scipy scikit-learn scikit-image statsmodels nibabel \
        torch torch-fidelity pytorch-fid prdc
    .venv-metrics/bin/python scripts/check_metrics.py build/release/bin/x2ctpa

Prints the largest relative error of each number and ends with 1 when one is above its tolerance.
Then two null experiments: scores without skill must have intervals that cover 0.5 in about 95% of
200 sets, and two arms of equal skill must have uniform p values.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from scipy import stats

WORST = {}


def note(name, found, expected, tolerance=1e-6):
    """Keeps the largest relative error; both missing is agreement."""
    if found is None or expected is None or not np.isfinite(expected):
        error = 0.0 if found is None and (expected is None or not np.isfinite(expected)) else np.inf
    else:
        error = abs(found - expected) / max(abs(expected), 1e-9)
    worst, count, _ = WORST.get(name, (0.0, 0, tolerance))
    WORST[name] = (max(worst, error), count + 1, tolerance)


def evaluate(binary, out, *arguments):
    done = subprocess.run(
        [binary, "evaluate", "--out", str(out), "-q", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 3):
        sys.exit(f"evaluate failed ({done.returncode}):\n{done.stderr}")
    return json.loads((out / "metrics.json").read_text())


def delong_by_pairs(labels, *scores):
    """Areas and their covariance from the m x n matrix of comparisons (DeLong 1988), O(m n)."""
    tens, ones, areas = [], [], []
    for s in scores:
        x, y = s[labels == 1][:, None], s[labels == 0][None, :]
        wins = (x > y) + 0.5 * (x == y)
        areas.append(wins.mean())
        tens.append(wins.mean(1))
        ones.append(wins.mean(0))
    m, n = len(tens[0]), len(ones[0])
    return np.array(areas), np.atleast_2d(np.cov(tens)) / m + np.atleast_2d(np.cov(ones)) / n


def logit_fit(labels, scores):
    import statsmodels.api as sm

    x = np.log(np.clip(scores, 1e-7, 1 - 1e-7) / (1 - np.clip(scores, 1e-7, 1 - 1e-7)))
    both = sm.GLM(labels, sm.add_constant(x), family=sm.families.Binomial()).fit(
        tol=1e-14, maxiter=200
    )
    shift = sm.GLM(labels, np.ones_like(x), offset=x, family=sm.families.Binomial()).fit(
        tol=1e-14, maxiter=200
    )
    if both.bse[1] > 1000:  # a score separates the classes: no maximum; x2ctpa gives none either
        return (np.nan,) * 5
    return both.params[1], both.bse[1], both.params[0], both.bse[0], shift.params[0]


def write_scores(file, labels, scores):
    rows = [f"s{i},p{i},{labels[i]},{float(scores[i])!r}" for i in range(len(labels))]
    file.write_text("study_id,patient_id,label,score\n" + "\n".join(rows) + "\n")


def draw_arm(rng, labels, skill):
    logit = (
        rng.normal(size=len(labels)) * rng.uniform(0.5, 2)
        + skill * (labels - 0.5)
        + rng.normal() * 0.3
    )
    scores = 1 / (1 + np.exp(-logit))
    return np.round(scores, rng.choice([1, 2, 12]))  # with many, some and no ties


def compare_arm(arm, labels, scores):
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
    from statsmodels.stats.proportion import proportion_confint

    areas, covariance = delong_by_pairs(labels, scores)
    error = np.sqrt(covariance[0, 0])
    note("AUC (scikit-learn)", arm["auc"], roc_auc_score(labels, scores))
    note("DeLong standard error (by pairs)", arm["auc_standard_error"], error)
    logit = np.log(areas[0] / (1 - areas[0]))
    half = stats.norm.ppf(0.975) * error / (areas[0] * (1 - areas[0]))
    for found, expected in zip(arm["auc_delong"], [logit - half, logit + half]):
        note("DeLong interval", found, 1 / (1 + np.exp(-expected)))
    note(
        "average precision (scikit-learn)",
        arm["average_precision"],
        average_precision_score(labels, scores),
    )
    called = scores >= arm["threshold"]
    counts = {
        "accuracy": (np.sum(called == labels), len(labels)),
        "sensitivity": (np.sum(called & (labels == 1)), np.sum(labels == 1)),
        "specificity": (np.sum(~called & (labels == 0)), np.sum(labels == 0)),
        "ppv": (np.sum(called & (labels == 1)), np.sum(called)),
        "npv": (np.sum(~called & (labels == 0)), np.sum(~called)),
    }
    for key, (successes, total) in counts.items():
        note(key, arm[key]["value"], successes / total if total else np.nan)
        if total:
            for found, expected in zip(
                arm[key]["interval"], proportion_confint(successes, total, method="wilson")
            ):
                note(
                    "Wilson interval (statsmodels)",
                    found,
                    max(expected, 0) if expected > 1e-12 else 0,
                )
    compare_calibration(arm, labels, scores, brier_score_loss(labels, scores))


def compare_calibration(arm, labels, scores, brier):
    c = arm["calibration"]
    note("Brier score (scikit-learn)", c["brier"], brier)
    bins = np.minimum((scores * 10).astype(int), 9)
    rate = labels.mean()
    ece = reliability = resolution = 0.0
    for b in np.unique(bins):
        inside = bins == b
        share, gap = inside.mean(), scores[inside].mean() - labels[inside].mean()
        ece += share * abs(gap)
        reliability += share * gap**2
        resolution += share * (labels[inside].mean() - rate) ** 2
    note("ECE", c["expected_error"], ece)
    note("Brier reliability", c["reliability"], reliability)
    note("Brier resolution", c["resolution"], resolution)
    note("Brier uncertainty", c["uncertainty"], rate * (1 - rate))
    found = c["recalibration"]
    for key, expected in zip(
        ["slope", "slope_error", "intercept", "intercept_error", "in_the_large"],
        logit_fit(labels, scores),
    ):
        note(f"calibration {key} (statsmodels)", found and found[key], expected)
    for threshold, model, treat_all in arm["net_benefit"]:
        odds = threshold / (1 - threshold)
        called = scores >= threshold
        expected = (np.sum(called & (labels == 1)) - odds * np.sum(called & (labels == 0))) / len(
            labels
        )
        if abs(expected) > 1e-6:
            note("net benefit", model, expected)
        note("net benefit of treating all", treat_all, rate - odds * (1 - rate)) if abs(
            rate - odds * (1 - rate)
        ) > 1e-6 else None


def check_scores(binary, folder, rng):
    from statsmodels.stats.multitest import multipletests

    for _ in range(10):
        n = int(rng.integers(30, 300))
        labels = (rng.random(n) < rng.uniform(0.2, 0.6)).astype(int)
        arms = [draw_arm(rng, labels, rng.uniform(0, 2)) for _ in range(20)]
        arguments = []
        for i, scores in enumerate(arms):
            file = folder / f"arm{i:02}.csv"
            write_scores(file, labels, scores)
            arguments += ["--scores", f"arm{i:02}={file}"]
        found = evaluate(binary, folder / "scores", *arguments, "--evaluate.bootstrap", 0)[
            "classification"
        ]
        for i, scores in enumerate(arms):
            compare_arm(found["arms"][f"arm{i:02}"], labels, scores)
        delong_p, ks_p = [], []
        for pair in found["comparisons"]:
            a, b = (arms[int(pair[key][3:])] for key in ("first", "second"))
            areas, c = delong_by_pairs(labels, a, b)
            z = (areas[0] - areas[1]) / np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
            if abs(z) > 1e-6:
                note("paired DeLong z (by pairs)", pair["delong"]["z"], z)
            delong_p.append(2 * stats.norm.sf(abs(z)))
            note("paired DeLong p", pair["delong"]["p"], delong_p[-1])
            ks = stats.ks_2samp(a, b, method="exact")
            ks_p.append(ks.pvalue)
            note(
                "Kolmogorov-Smirnov distance (scipy)",
                pair["kolmogorov_smirnov"]["statistic"],
                ks.statistic,
            )
            note("Kolmogorov-Smirnov p (scipy)", pair["kolmogorov_smirnov"]["p"], ks.pvalue)
        for key, p in (("delong", delong_p), ("kolmogorov_smirnov", ks_p)):
            for pair, expected in zip(found["comparisons"], multipletests(p, method="holm")[1]):
                note("Holm's correction (statsmodels)", pair[key]["p_holm"], expected)


def random_volume(rng, size):
    from scipy.ndimage import gaussian_filter

    return (gaussian_filter(rng.normal(size=size), 1) * 1500).astype(np.float32)


def write_pairs(folder, pairs):
    import nibabel

    for name in ("real", "generated"):
        (folder / name).mkdir(exist_ok=True)
    for i, (a, b) in enumerate(pairs):
        for name, volume in (("real", a), ("generated", b)):
            image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.diag([-1.5, -1.5, 2, 1]))
            nibabel.save(image, folder / name / f"case{i:03}.nii")


def check_images(binary, folder, rng):
    from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

    pairs = []
    for _ in range(200):
        size = rng.integers(11, 26, 3)
        a = random_volume(rng, size)
        a.flat[0] = -1000  # a chest holds air
        pairs.append(
            (
                a,
                np.where(a == -1000, a, a + rng.uniform(0.05, 1) * random_volume(rng, size)).astype(
                    np.float32
                ),
            )
        )
    write_pairs(folder, pairs)
    evaluate(
        binary,
        folder / "images",
        "--generated",
        folder / "generated",
        "--real",
        folder / "real",
        "--evaluate.report_cases",
        0,
    )
    import csv

    with open(folder / "images" / "per_case.csv", newline="") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    for i, pair in enumerate(pairs):
        a, b = (np.clip(v.astype(np.float64), -200, 500) for v in pair)
        row = {
            key: float(value)
            for key, value in rows[f"case{i:03}"].items()
            if key.startswith("generated_") and value
        }
        ssim = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=700)
        note("MAE", row["generated_mae_hu"], np.abs(a - b).mean())
        note("MSE (scikit-image)", row["generated_mse_hu2"], mean_squared_error(a, b))
        note(
            "PSNR (scikit-image)",
            row["generated_psnr_db"],
            peak_signal_noise_ratio(a, b, data_range=700),
        )
        note(
            "SSIM 3D (scikit-image)",
            row["generated_ssim_3d"],
            structural_similarity(a, b, **ssim),
            1e-4,
        )
        slices = np.mean([structural_similarity(x, y, **ssim) for x, y in zip(a, b)])
        note("SSIM 2D (scikit-image)", row["generated_ssim_2d"], slices, 1e-4)


def check_features(binary, folder, rng):
    import torch
    from prdc import compute_prdc
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_kid import kid_features_to_metric

    class Blocks(torch.nn.Module):
        """Means of 4 x 4 blocks and their squares: the same numbers in any implementation."""

        def forward(self, x):
            y = torch.nn.functional.adaptive_avg_pool2d(x[:, :1], [4, 4]).flatten(1)
            return torch.cat([y, y * y], 1)

    network = folder / "blocks.pt"
    torch.jit.script(Blocks()).save(str(network))
    for name in ("real", "generated"):
        for file in (folder / name).glob("*"):
            file.unlink()
    pairs = []
    for _ in range(30):
        a = random_volume(rng, (12, 24, 24))
        a.flat[0] = -1000
        pairs.append(
            (
                a,
                np.where(a == -1000, a, 0.8 * random_volume(rng, (12, 24, 24)) + 40).astype(
                    np.float32
                ),
            )
        )
    write_pairs(folder, pairs)
    found = evaluate(
        binary,
        folder / "features",
        "--generated",
        folder / "generated",
        "--real",
        folder / "real",
        "--features",
        network,
        "--evaluate.report_cases",
        0,
    )["features"]

    def features(side):
        with torch.no_grad():
            volumes = [torch.tensor(np.clip(pair[side], -200, 500)) for pair in pairs]
            slices = torch.cat([(v + 200) / 700 for v in volumes]).unsqueeze(1).repeat(1, 3, 1, 1)
            return Blocks()((slices - 0.5) / 0.5).double().numpy()

    real, made = features(0), features(1)
    fid = calculate_frechet_distance(real.mean(0), np.cov(real.T), made.mean(0), np.cov(made.T))
    note("FID (pytorch-fid)", found["fid"]["value"], fid, 1e-4)
    kid = kid_features_to_metric(
        torch.tensor(real),
        torch.tensor(made),
        kid_subsets=1,
        kid_subset_size=len(real),
        kid_kernel="poly",
        verbose=False,
    )["kernel_inception_distance_mean"]
    note("KID (torch-fidelity)", found["kid"]["value"], kid, 1e-4)
    for key, expected in compute_prdc(real, made, nearest_k=5).items():
        note(f"{key} (prdc)", found[key]["value"], expected)


def null_experiments(binary, folder, rng):
    covered = covered_bootstrap = 0
    p_values = []
    for _ in range(10):
        labels = (rng.random(120) < 0.4).astype(int)
        arguments = []
        for i in range(20):
            file = folder / f"null{i:02}.csv"
            write_scores(file, labels, 1 / (1 + np.exp(-rng.normal(size=120))))
            arguments += ["--scores", f"null{i:02}={file}"]
        for arm in evaluate(binary, folder / "null", *arguments, "--evaluate.bootstrap", 1000)[
            "classification"
        ]["arms"].values():
            covered += arm["auc_delong"][0] <= 0.5 <= arm["auc_delong"][1]
            covered_bootstrap += arm["auc_bootstrap"][0] <= 0.5 <= arm["auc_bootstrap"][1]
    for _ in range(200):
        labels = (rng.random(120) < 0.4).astype(int)
        common = rng.normal(size=120) + labels
        files = []
        for name in ("a", "b"):
            files.append(folder / f"equal_{name}.csv")
            write_scores(files[-1], labels, 1 / (1 + np.exp(-common - rng.normal(size=120))))
        pair = evaluate(
            binary,
            folder / "equal",
            "--scores",
            f"a={files[0]}",
            "--scores",
            f"b={files[1]}",
            "--evaluate.bootstrap",
            0,
        )["classification"]["comparisons"][0]
        p_values.append(pair["delong"]["p"])
    print(
        f"scores without skill, 200 sets: DeLong's interval covers 0.5 in {covered}, "
        f"the bootstrap's in {covered_bootstrap}"
    )
    shares = [np.mean(np.array(p_values) < level) for level in (0.05, 0.25, 0.5, 0.75)]
    print(
        "arms of equal skill, 200 pairs: p below 0.05, 0.25, 0.5, 0.75 in shares of "
        + ", ".join(f"{share:.3f}" for share in shares)
        + f"; Kolmogorov-Smirnov against uniform p {stats.kstest(p_values, 'uniform').pvalue:.2f}"
    )
    # 190 +- 4 standard deviations of a binomial count.
    return (
        177 <= covered
        and 177 <= covered_bootstrap
        and stats.kstest(p_values, "uniform").pvalue > 1e-3
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--no-features", action="store_true", help="without torch and what depends on it"
    )
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_scores(given.binary, folder, rng)
        check_images(given.binary, folder, rng)
        if not given.no_features:
            check_features(given.binary, folder, rng)
        for number, (worst, count, tolerance) in WORST.items():
            print(
                f"{number:<40} {count:>6} cases  largest relative error {worst:.1e}"
                f"{'' if worst <= tolerance else '  ABOVE ' + format(tolerance, 'g')}"
            )
        calm = null_experiments(given.binary, folder, rng)
    sys.exit(0 if calm and all(worst <= tolerance for worst, _, tolerance in WORST.values()) else 1)


if __name__ == "__main__":
    main()
