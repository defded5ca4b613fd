#!/usr/bin/env python3
"""Turns published weights into x2ctpa model folders, and ours back into the published layout.

    convert_weights.py [KIND] SOURCE OUT_FOLDER
    convert_weights.py --to reference [KIND] FOLDER OUT_FILE

Every tensor of the source must fit: one that is missing, left over, of another shape, or not finite
is an error, and nothing is written. Pickles are read without running anything in them. Needs numpy
alone; see docs/weights.md.
"""

import argparse
import json
import os
import sys

from weights import (
    autoencoder_kl,
    autoencoder_maisi,
    densenet3d,
    discriminators,
    generator,
    latent_discriminator,
    lora,
    lpips,
    model_folder,
    safetensors_file,
    source,
    torch_writer,
    unet3d,
    volumes,
    vqgan,
)
from weights.layout import Report, to_own, to_published, without_prefix
from weights.tensors import WeightsError
from weights.vision import BiomedClip, ClipVision, Dinov2

KINDS = {
    kind.NAME: kind
    for kind in (
        unet3d,
        vqgan,
        discriminators,
        latent_discriminator,
        autoencoder_kl,
        autoencoder_maisi,
        BiomedClip,
        ClipVision,
        Dinov2,
        densenet3d,
        lpips,
    )
}


def find_kind(named, names, own):
    if named:
        return KINDS[named]
    fitting = [k for k in KINDS.values() if (k.is_own if own else k.is_published)(names)]
    if not fitting:
        raise WeightsError(
            "the tensors are those of no known model; if they lie under a prefix, give --prefix; "
            f"kinds: {', '.join(KINDS)}"
        )
    return fitting[0]


def options_of(kind, tensors, hints, wanted):
    """The model's options; `wanted` (from --option) must not contradict the tensors."""
    options = kind.options(tensors, {**hints, **wanted})
    for name, value in wanted.items():
        if name not in options:
            raise WeightsError(f"--option {name}: {kind.NAME} has {', '.join(options)}")
        if options[name] != value:
            raise WeightsError(f"--option {name}={value}: the tensors say {options[name]}")
    return options


def hints_of(kind, found):
    """What the file says beside its tensors."""
    own = generator.own_options(found.options, kind)
    if own:
        return own
    if kind is vqgan:
        return vqgan.hyperparameters(found.settings)
    if found.config and hasattr(kind, "hyperparameters"):
        return kind.hyperparameters(found.config)
    return {}


def read_source(args):
    """The source with prefix, second file and low-rank updates dealt with, and notes on them."""
    found, notes = source.read(args.source, args.which), []
    if args.prefix:
        found.tensors = without_prefix(found.tensors, args.prefix)
        notes.append(f"prefix      {args.prefix}: {len(found.tensors)} tensors")
    if args.linear:
        extra = source.read(args.linear).tensors
        found.tensors.update(extra)
        notes.append(f"and         {args.linear}: {len(extra)} tensors")
    found.tensors, injected = lora.merge(found.tensors, args.lora_scale)
    if args.lora:
        updates = source.read_any(args.lora)
        found.tensors, injected = lora.merge_file(found.tensors, updates, args.lora_scale)
    if injected:
        notes.append(f"merged      {injected} low-rank updates, scale {args.lora_scale:g}")
    return found, notes


def convert(kind, found, wanted):
    """(report, options, our tensors) of one model."""
    tensors, aside = kind.select(found.tensors)
    options = options_of(kind, tensors, hints_of(kind, found), wanted)
    report = Report(found.name, kind.NAME, options)
    report.aside = aside
    return report, options, to_own(kind.layout(options), tensors, report)


def print_report(report, notes=()):
    for line in (*notes, *report.lines()):
        print(line)


def form_of(kind, found, named):
    """The form in which an autoencoder takes volumes: as named, as a file of ours says, or the
    kind's own; None for the program's."""
    if named:
        if kind not in (vqgan, autoencoder_maisi):
            raise WeightsError(f"--volumes: {kind.NAME} takes no volumes in a form of its own")
        return volumes.FORMS[named]
    if "volumes" in found.options:
        return found.options["volumes"]
    return volumes.FORMS[getattr(kind, "VOLUMES", "own")]


def to_x2ctpa(args):
    if args.kind == generator.NAME:
        return to_generator(args)
    found, notes = read_source(args)
    kind = find_kind(args.kind, found.tensors, own=False)
    form = form_of(kind, found, args.volumes)
    models = [("", *convert(kind, found, args.option))]
    if kind is vqgan and any(n.startswith(vqgan.DISCRIMINATORS) for n in found.tensors):
        models.append(("discriminators", *convert(discriminators, found, {})))
    for _, report, _, _ in models:
        print_report(report, notes)
    if not all(report.fine() for _, report, _, _ in models):
        return 1
    for folder, _, options, tensors in models:
        model_folder.write(os.path.join(args.out, folder), options, tensors)
    volumes.write(args.out, form)
    print(f"written     {args.out}")
    return 0


def refuse_form(folder):
    """A published generator's autoencoder takes volumes as the program does."""
    if volumes.read(folder):
        raise WeightsError(
            f"{folder}: takes volumes in a form of its own ({volumes.FILE}), for which the "
            "published generator has no place"
        )


def convert_part(part, args, whole):
    """(kind, report, options, tensors) of a generator's network: from a file or folder of its own,
    ours or published, where one is given, else from the generator's file."""
    given = {"autoencoder": args.vae, "cxr_encoder": args.cxr_encoder}[part]
    if given and os.path.exists(os.path.join(given, model_folder.CONFIG)):
        refuse_form(given)
        options, tensors = model_folder.read(given)
        kind = generator.kind_of(part, tensors, own=True)
        report, _ = published_of(kind, given, options, tensors)
        return kind, report, options, tensors
    if given:
        found = source.read(given)
    else:
        tensors, prefix = generator.part_tensors(whole.tensors, part)
        if not tensors:
            flag = {"autoencoder": "--vae", "cxr_encoder": "--cxr-encoder"}[part]
            raise WeightsError(f"{args.source} holds no {part}; give {flag}")
        found = source.Source(f"{whole.name}, {prefix}", tensors, options=whole.options)
    kind = generator.kind_of(part, found.tensors)
    wanted = args.vae_option if part == "autoencoder" else args.cxr_encoder_option
    return (kind, *convert(kind, found, wanted))


def to_generator(args):
    found, notes = read_source(args)
    report, unet, tensors = convert(unet3d, found, args.option)
    vae, *vae_parts = convert_part("autoencoder", args, found)
    _, *encoder_parts = convert_part("cxr_encoder", args, found)
    for each in (report, vae_parts[0], encoder_parts[0]):
        print_report(each, notes if each is report else ())
    if not (report.fine() and vae_parts[0].fine() and encoder_parts[0].fine()):
        return 1
    encoder = encoder_parts[1]
    parts = {
        "": (
            generator.denoiser_options(unet, generator.embedding_width(encoder)),
            generator.with_unet_prefix(tensors),
        ),
        "autoencoder": tuple(vae_parts[1:]),
        "cxr_encoder": tuple(encoder_parts[1:]),
    }
    sides = found.options.get("sides") or generator.side_files(args, vae, *vae_parts[1:], encoder)
    generator.write(args.out, parts, sides)
    print(f"written     {args.out}")
    return 0


def published_of(kind, folder, options, tensors):
    """(report, published tensors by name) of one of our folders."""
    sections = [name for name, value in options.items() if isinstance(value, dict)]
    if sections:
        raise WeightsError(
            f"{folder}: a model made of several ({', '.join(sections)}) has no published layout"
        )
    report = Report(folder, kind.NAME, options)
    if kind is densenet3d and options.get("planar"):
        raise WeightsError(f"{folder}: the published DenseNet classifies volumes, not pictures")
    try:
        return report, to_published(kind.layout(options), tensors, report)
    except KeyError as error:
        raise WeightsError(f"{folder}/config.yaml: the option {error} is missing") from None


def generator_to_reference(args):
    """One file with all three networks, as the published trainer saves them."""
    reports, state = [], {}
    unet_options, unet = generator.unet_of(args.source)
    models = [(unet3d, args.source, unet_options, unet)]
    for part in generator.PARTS:
        folder = os.path.join(args.source, part)
        refuse_form(folder)
        options, tensors = model_folder.read(folder)
        models.append((generator.kind_of(part, tensors, own=True), folder, options, tensors))
    for kind, folder, options, tensors in models:
        report, published = published_of(kind, folder, options, tensors)
        reports.append(report)
        if kind is not unet3d:
            published = kind.published_content(published)[0]
        state.update({generator.published_name(kind, n): t for n, t in published.items()})
    for report in reports:
        print_report(report)
    if not all(report.fine() for report in reports):
        return 1
    own = {kind.NAME: options for kind, _, options, _ in models}
    own["sides"] = generator.read_sides(args.source)
    torch_writer.write(args.out, unet3d.published_content({})[1](state), own)
    print(f"written     {args.out}")
    return 0


def to_reference(args):
    if args.kind == generator.NAME or (not args.kind and generator.is_own(args.source)):
        return generator_to_reference(args)
    options, tensors = model_folder.read(args.source)
    kind = find_kind(args.kind, tensors, own=True)
    report, published = published_of(kind, args.source, options, tensors)
    reports = [report]
    pair = os.path.join(args.source, "discriminators")
    if kind is vqgan and os.path.exists(os.path.join(pair, model_folder.CONFIG)):
        report, more = published_of(discriminators, pair, *model_folder.read(pair))
        published.update(more)
        reports.append(report)
    for report in reports:
        print_report(report)
    if not all(report.fine() for report in reports):
        return 1
    flat, wrap = kind.published_content(published)
    form = volumes.read(args.source)
    if form != volumes.FORMS[getattr(kind, "VOLUMES", "own")]:
        options = {**options, "volumes": form}
    if args.out.endswith(".safetensors"):
        safetensors_file.write(args.out, flat, {"format": "pt", "x2ctpa": json.dumps(options)})
    else:
        torch_writer.write(args.out, wrap(flat), options)
    print(f"written     {args.out}")
    return 0


def one_option(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text}")
    return name, model_folder.value_of(value)


def numbers(kind, count):
    def parse(text):
        try:
            found = [kind(part) for part in text.split(",")]
        except ValueError:
            found = []
        if len(found) != count:
            raise argparse.ArgumentTypeError(f"expected {count} numbers with commas, found {text}")
        return found

    return parse


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="convert_weights.py",
        usage="%(prog)s [KIND] SOURCE OUT [options]",
        description="Published weights to x2ctpa model folders and back; see docs/weights.md.",
        epilog=f"Kinds: {', '.join([*KINDS, generator.NAME])}. "
        "Without KIND, the names of the tensors tell it.",
    )
    parser.add_argument("paths", nargs="+", metavar="[KIND] SOURCE OUT")
    parser.add_argument("--to", choices=("x2ctpa", "reference"), default="x2ctpa", help="direction")
    parser.add_argument(
        "--which", choices=("ema", "model"), default="ema", help="of a diffusion checkpoint"
    )
    parser.add_argument("--prefix", default="", help="take the tensors under this name alone")
    parser.add_argument(
        "--option",
        type=one_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option that neither tensors nor file can tell, as heads=4",
    )
    parser.add_argument(
        "--volumes",
        choices=volumes.FORMS,
        help="vqgan, autoencoder_maisi: whose axes, range and window its volumes have",
    )
    parser.add_argument("--linear", help="lpips: the file of the linear layers, beside VGG-16's")
    parser.add_argument("--lora", help="unet3d: a file of low-rank updates to add")
    parser.add_argument("--lora-scale", type=float, default=1.0, help="factor of the updates")
    whole = parser.add_argument_group(
        "generator: U-Net, autoencoder and X-ray encoder in one folder"
    )
    whole.add_argument("--vae", help="the autoencoder, published or ours, where the file has none")
    whole.add_argument("--cxr-encoder", help="the X-ray encoder likewise")
    whole.add_argument(
        "--data",
        choices=generator.LATENT_RANGES,
        default="ctpa",
        help="whose range the latents have",
    )
    whole.add_argument(
        "--latent-range", type=numbers(float, 2), help="LOW,HIGH of another data set"
    )
    whole.add_argument(
        "--grid",
        type=numbers(int, 3),
        default=[64, 256, 256],
        help="of volumes: depth,height,width",
    )
    whole.add_argument(
        "--window", type=numbers(float, 2), default=[-200, 500], help="LOW,HIGH in HU"
    )
    whole.add_argument(
        "--field-of-view-mm",
        type=numbers(float, 3),
        default=[290, 210, 270],
        help="x,y,z of a typical volume, which published weights do not tell; here a lung box",
    )
    for flag in ("--vae-option", "--cxr-encoder-option"):
        whole.add_argument(flag, type=one_option, action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_intermixed_args(argv)
    if not 2 <= len(args.paths) <= 3:
        parser.error("expected [KIND] SOURCE OUT")
    *kind, args.source, args.out = args.paths
    args.kind = kind[0] if kind else None
    kinds = [*KINDS, generator.NAME]
    if args.kind and args.kind not in kinds:
        parser.error(f'"{args.kind}" is no kind; expected one of {", ".join(kinds)}')
    for name in ("option", "vae_option", "cxr_encoder_option"):
        setattr(args, name, dict(getattr(args, name)))
    return args


def main(argv=None):
    args = arguments(argv)
    try:
        return to_reference(args) if args.to == "reference" else to_x2ctpa(args)
    except (WeightsError, OSError) as error:
        print(f"convert_weights: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
