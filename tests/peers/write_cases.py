#!/usr/bin/env python3
"""Writes published models at random weights, their outputs and gradients as a folder of reference
vectors for scripts/check_vectors.sh. Nothing is downloaded.

    write_cases.py OUT_FOLDER [--reference DIR] [--only WORD]
"""

import argparse
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import autoencoder_kl
import autoencoder_maisi
import densenet3d
import discriminators
import lpips_distance
import torch
import unet3d
import vision
import vqgan
from peer_case import write_case

FAMILIES = (
    unet3d,
    autoencoder_kl,
    autoencoder_maisi,
    vqgan,
    vision,
    densenet3d,
    lpips_distance,
    discriminators,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--reference", help="a checkout of the published X-ray2CTPA code")
    parser.add_argument("--only", default="", help="the cases with this in their names")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    entries = {}
    for family in FAMILIES:
        torch.manual_seed(1)
        for case in family.cases(args.reference):
            if args.only in case.name:
                entries[case.name] = write_case(case, args.out, seed=len(entries))
    if not entries:
        sys.exit(f'no case has "{args.only}" in its name')
    with open(os.path.join(args.out, "cases.json"), "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)
    print(f"{len(entries)} cases in {args.out}")


if __name__ == "__main__":
    main()
