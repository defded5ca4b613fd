"""The published implementations as operations: prepare(folder, settings) writes weights and inputs
for both sides, the constructor loads them, run() is what is timed, outputs() what is compared."""

import copy
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "peers"))

import unet3d as unet3d_peers  # noqa: E402
from peer_case import randomise  # noqa: E402

# The published sizes.
UNET = {"dim": 32, "dim_mults": (1, 2, 4, 8), "channels": 4, "cond_dim": 512}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
VAE_SCALE = 0.18215


def _normal(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _convert(kind, checkpoint, out, *options):
    command = [sys.executable, ROOT / "scripts" / "convert_weights.py", kind, checkpoint, out]
    for option in options:
        command += ["--option", option]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _save_weights(model, folder, kind, *options, rename=lambda state: state):
    """Random weights for both sides: the peer's own state dict, and our model folder."""
    randomise(model, 0)
    torch.save(model.state_dict(), folder / "peer.pt")
    torch.save(rename(model.state_dict()), folder / "published.pt")
    _convert(kind, folder / "published.pt", folder / "model", *options)
    os.remove(folder / "published.pt")


class Peer:
    """Loads what prepare() wrote."""

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        inputs = folder / "inputs.safetensors"
        self.device = settings["device"]
        self.inputs = load_file(inputs, device=self.device) if inputs.exists() else {}

    def load(self, model):
        model.load_state_dict(torch.load(self.folder / "peer.pt", mmap=True))
        return model.eval().to(self.device)


class UnetForward(Peer):
    @staticmethod
    def model(settings):
        if not settings.get("reference"):
            return unet3d_peers.from_package(**UNET)
        return unet3d_peers.published_code.unet3d(settings["reference"])(**UNET)

    @classmethod
    def prepare(cls, folder, settings):
        _save_weights(cls.model(settings), folder, "unet3d")
        depth, side, batch = settings["depth"], settings["side"], settings["batch"]
        shape = (batch, 4, depth, side, side)
        inputs = {
            "x": _normal(*shape, seed=1),
            "noise": _normal(*shape, seed=2),
            "cond": _normal(batch, 512, seed=3),
            "t": torch.arange(batch) * 100 + 500,
        }
        save_file(inputs, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network = self.load(self.model(settings))

    def run(self):
        with torch.no_grad():
            given = (self.inputs["x"], self.inputs["t"])
            self.result = self.network(*given, cond=self.inputs["cond"])

    def outputs(self):
        return {"eps": self.result}


class Denoise(UnetForward):
    """Ancestral sampling of a latent in 1000 steps, of which the first ones are timed."""

    STEPS = 1000

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.timed = settings["timed_steps"]
        self.share = self.STEPS / self.timed
        angle = (torch.linspace(0, 1, self.STEPS + 1, dtype=torch.float64) + 0.008) / 1.008
        kept = torch.cos(angle * torch.pi / 2) ** 2
        self.beta = (1 - kept[1:] / kept[:-1]).clamp(0, 0.9999)
        self.kept = (1 - self.beta).cumprod(0)
        self.beta, self.kept = self.beta.to(self.device), self.kept.to(self.device)
        self.noise = torch.Generator(self.device).manual_seed(0)

    def run(self):
        x = self.inputs["x"]
        with torch.no_grad():
            for t in range(self.STEPS - 1, self.STEPS - 1 - self.timed, -1):
                time = torch.full((x.shape[0],), t, device=x.device)
                eps = self.network(x, time, cond=self.inputs["cond"])
                if t == self.STEPS - 1:
                    self.result = eps
                kept, before, beta = self.kept[t], self.kept[t - 1], self.beta[t]
                x0 = ((x - (1 - kept).sqrt() * eps) / kept.sqrt()).clamp(-1, 1)
                mean = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * x) / (
                    1 - kept
                )
                fresh = torch.randn(x.shape, generator=self.noise, device=x.device)
                x = (mean + (beta * (1 - before) / (1 - kept)).sqrt() * fresh).float()


class UnetTrain(UnetForward):
    """A step of the published trainer: L1, clipping to 1, Adam, moving average; without its
    perceptual loss, which decodes the prediction without gradients."""

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network.train()
        self.average = copy.deepcopy(self.network)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.losses, self.norms = [], []

    def run(self):
        given = (self.inputs["x"], self.inputs["t"])
        prediction = self.network(*given, cond=self.inputs["cond"])
        loss = torch.nn.functional.l1_loss(self.inputs["noise"], prediction)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        for own, new in zip(self.average.parameters(), self.network.parameters()):
            own.data = own.data * 0.995 + 0.005 * new.data
        self.losses.append(loss.item())
        self.norms.append(norm.item())

    def outputs(self):
        return {"loss": torch.tensor(self.losses), "gradient_norm": torch.tensor(self.norms)}


class VaeDecode(Peer):
    """Slices of a latent one by one, as the published code decodes a volume."""

    @staticmethod
    def model():
        from diffusers import AutoencoderKL

        return AutoencoderKL(**VAE)

    @classmethod
    def prepare(cls, folder, settings):
        _save_weights(cls.model(), folder, "autoencoder_kl", f"scaling_factor={VAE_SCALE}")
        latent = _normal(1, 4, settings["slices"], 32, 32, seed=4)
        save_file({"latent": latent}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network = self.load(self.model())

    def run(self):
        latent = self.inputs["latent"] / VAE_SCALE
        with torch.no_grad():
            slices = [self.network.decode(z).sample for z in latent.unbind(2)]
            self.result = torch.stack(slices, 2).mean(1, keepdim=True)

    def outputs(self):
        return {"volume": self.result}


class PublishedVqgan(torch.nn.Module):
    """The published VQ-GAN without Lightning and discriminators."""

    def __init__(self, reference, hidden, codes, width):
        super().__init__()
        networks, codebook = unet3d_peers.published_code.vqgan(reference)
        self.encoder = networks.Encoder(hidden, (4, 4, 4), 1)
        self.decoder = networks.Decoder(hidden, (4, 4, 4), 1)
        inner = self.encoder.out_channels
        self.pre_vq_conv = networks.SamePadConv3d(inner, width, 1)
        self.post_vq_conv = networks.SamePadConv3d(width, inner, 1)
        self.codebook = codebook.Codebook(codes, width, no_random_restart=True)
        self.codebook._need_init = False

    def forward(self, x):
        found = self.codebook(self.pre_vq_conv(self.encoder(x)))
        return self.decoder(self.post_vq_conv(found["embeddings"])), found


class VqganReconstruct(Peer):
    """A volume to its codes and back."""

    @staticmethod
    def model(settings):
        if not settings.get("reference"):
            sys.exit("compare: the VQ-GAN rows need --reference")
        return PublishedVqgan(
            settings["reference"], *(settings[n] for n in ("hidden", "codes", "width"))
        )

    @classmethod
    def prepare(cls, folder, settings):
        given = ("downsample=[4,4,4]", "groups=32", "random_restart=false")
        _save_weights(cls.model(settings), folder, "vqgan", *given)
        x = _normal(1, 1, *(n // 8 for n in settings["size"]), seed=10)
        x = torch.nn.functional.interpolate(x, scale_factor=8, mode="trilinear").clamp(-1, 1)
        save_file({"x": x}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network = self.load(self.model(settings))

    def run(self):
        with torch.no_grad():
            self.result = self.network(self.inputs["x"])[0]

    def outputs(self):
        return {"reconstruction": self.result}


class VqganTrain(VqganReconstruct):
    """A step of the autoencoder before the discriminators take part: L1, commitment, the codebook's
    averages, clipping to 1, Adam. Without restarts, which draw at random."""

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network.train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=3e-4, betas=(0.5, 0.9))
        self.losses, self.norms = [], []

    def run(self):
        x = self.inputs["x"]
        reconstruction, found = self.network(x)
        loss = 4 * torch.nn.functional.l1_loss(reconstruction, x) + found["commitment_loss"]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.losses.append(loss.item())
        self.norms.append(norm.item())

    def outputs(self):
        return {"loss": torch.tensor(self.losses), "gradient_norm": torch.tensor(self.norms)}


class Vit(Peer):
    """BiomedCLIP's image tower."""

    @staticmethod
    def model():
        from open_clip.timm_model import TimmModel

        return TimmModel("vit_base_patch16_224", 512, image_size=224, pool="", proj="linear")

    @classmethod
    def prepare(cls, folder, settings):
        visual = lambda state: {"visual." + n: t for n, t in state.items()}
        _save_weights(cls.model(), folder, "biomedclip_vit", rename=visual)
        x = _normal(settings["batch"], 3, 224, 224, seed=5)
        save_file({"x": x}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network = self.load(self.model())

    def run(self):
        with torch.no_grad():
            self.result = self.network(self.inputs["x"])

    def outputs(self):
        return {"features": self.result}


class VitLoad(Vit):
    """From the file to a model that can be used; built without initial values, and mapped."""

    def __init__(self, folder, settings):
        Peer.__init__(self, folder, settings)

    def run(self):
        with torch.device("meta"):
            model = self.model()
        state = torch.load(self.folder / "peer.pt", mmap=True)
        model.load_state_dict(state, assign=True)
        self.result = model.trunk.pos_embed.detach().clone()
        self.network = model

    def outputs(self):
        return {"positions": self.result}


class DenseNet(Peer):
    """DenseNet-121 on latents: MONAI's with the published stride."""

    @staticmethod
    def model():
        import densenet3d

        return densenet3d._monai(4, 64, 32, (6, 12, 24, 16), 1)

    @classmethod
    def prepare(cls, folder, settings):
        import densenet3d

        _save_weights(cls.model(), folder, "densenet3d", rename=densenet3d._published_names)
        x = _normal(settings["batch"], 4, settings["depth"], 32, 32, seed=6)
        save_file({"x": x}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.network = self.load(self.model())

    def run(self):
        with torch.no_grad():
            self.result = self.network(self.inputs["x"])

    def outputs(self):
        return {"logit": self.result}


def _zoom_twice(hu, spacing, size):
    """preprocess_ctpa.py: scipy's zoom of order 3 to 1 mm, then to the size of the dataset."""
    from scipy.ndimage import zoom

    shape = np.round(np.array(hu.shape) * spacing)
    hu = zoom(hu, shape / hu.shape)
    return zoom(hu, np.array(size) / hu.shape, mode="nearest")


def _read_series(folder):
    """preprocess_ctpa.py: pydicom, sorted by position, rescaled; (HU, spacing of D, H, W)."""
    import pydicom

    slices = [pydicom.dcmread(os.path.join(folder, name)) for name in os.listdir(folder)]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    step = abs(slices[0].ImagePositionPatient[2] - slices[1].ImagePositionPatient[2])
    hu = np.stack([s.pixel_array for s in slices]).astype(np.int16)
    for i, s in enumerate(slices):
        if s.RescaleSlope != 1:
            hu[i] = (float(s.RescaleSlope) * hu[i].astype(np.float64)).astype(np.int16)
        hu[i] += np.int16(s.RescaleIntercept)
    return np.maximum(hu, -1024), (float(step), *map(float, slices[0].PixelSpacing))


def _lung_box(hu):
    """(first, count) per axis of the air inside the body: a fixed box for both sides."""
    from scipy import ndimage

    labels, _ = ndimage.label(hu < -500)
    outside = set(np.unique(labels[:, 0])) | set(np.unique(labels[:, -1]))
    outside |= set(np.unique(labels[:, :, 0])) | set(np.unique(labels[:, :, -1]))
    sizes = np.bincount(labels.ravel())
    sizes[list(outside | {0})] = 0
    box = ndimage.find_objects(labels == sizes.argmax())[0]
    return [[int(s.start), int(s.stop - s.start)] for s in box]


class Preprocess(Peer):
    """A series of DICOM files to the voxels of a dataset, without the search for the lungs."""

    @staticmethod
    def prepare(folder, settings):
        hu, spacing = _read_series(settings["series"])
        settings["box"] = _lung_box(hu)

    def run(self):
        hu, spacing = _read_series(self.settings["series"])
        (z, d), (y, h), (x, w) = self.settings["box"]
        box = hu[z : z + d, y : y + h, x : x + w]
        self.result = _zoom_twice(box, spacing, self.settings["size"])

    def outputs(self):
        return {"volume": torch.from_numpy(self.result.astype(np.float32))}


class Resample(Peer):
    """The cubic resampling alone."""

    @staticmethod
    def prepare(folder, settings):
        hu, spacing = _read_series(settings["series"])
        (z, d), (y, h), (x, w) = _lung_box(hu)
        box = np.ascontiguousarray(hu[z : z + d, y : y + h, x : x + w], np.float32)
        settings["spacing_mm"] = list(spacing[::-1])
        save_file({"hu": torch.from_numpy(box)}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.hu = self.inputs["hu"].numpy().astype(np.int16)  # the published code's type

    def run(self):
        spacing = self.settings["spacing_mm"][::-1]
        self.result = _zoom_twice(self.hu, spacing, self.settings["size"])

    def outputs(self):
        return {"volume": torch.from_numpy(self.result.astype(np.float32))}


class Drr(Peer):
    """DiffDRR: Siddon's exact line integrals of our attenuation coefficients."""

    @staticmethod
    def prepare(folder, settings):
        pass

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        from diffdrr.data import read
        from diffdrr.drr import DRR

        subject = read(settings["volume"], orientation="PA")
        hu = subject.volume.data.float()
        mu = settings["mu_water_per_mm"] * (1 + hu / 1000)
        start = settings["bone_from_hu"]
        bone = settings["mu_water_per_mm"] * settings["bone_gain"] * (hu - start) / 1000
        at_start = settings["mu_water_per_mm"] * (1 + start / 1000)
        density = torch.where(hu > start, at_start + bone, mu).clamp_min(0)
        subject.density.set_data(density)
        self.slope = (density > 0) * torch.where(hu > start, settings["bone_gain"], 1.0)
        self.slope *= settings["mu_water_per_mm"] / 1000  # of attenuation over HU
        size = settings["size"]
        pixel = settings["detector_mm"] / size
        self.drr = DRR(subject, sdd=settings["source_to_detector_mm"], height=size, delx=pixel)
        self.pose = torch.tensor([[0.0, settings["source_to_centre_mm"], 0.0]])

    def render(self):
        rotation = torch.zeros(1, 3)
        return self.drr(rotation, self.pose, parameterization="euler_angles", convention="ZXY")

    def run(self):
        with torch.no_grad():
            self.result = self.render()

    def outputs(self):
        return {"volume": self.result[0, 0].flip(0, 1)}  # ours hangs as films do


class DrrBackward(Drr):
    """The gradient of such an X-ray with respect to the HU, its forward pass apart."""

    @staticmethod
    def prepare(folder, settings):
        size = settings["size"]
        smooth = torch.nn.functional.interpolate(
            _normal(1, 1, 16, 16, seed=10), (size, size), mode="bilinear"
        )
        save_file({"picture": smooth[0, 0].contiguous()}, folder / "inputs.safetensors")

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.density = self.drr.density.requires_grad_()
        self.rendered = self.render()

    def run(self):
        self.density.grad = None
        picture = self.inputs["picture"].flip(0, 1)  # ours hangs as films do
        self.rendered.backward(picture[None, None], retain_graph=True)

    def outputs(self):
        gradient = self.density.grad * self.slope[0]
        return {"volume": gradient.permute(2, 1, 0)}


class Metrics(Peer):
    """MAE, MSE, PSNR, SSIM in 3D and by slices: scikit-image."""

    @staticmethod
    def prepare(folder, settings):
        shape = settings["size"]
        smooth = torch.nn.functional.interpolate(
            _normal(1, 1, 16, 32, 32, seed=7), tuple(shape), mode="trilinear"
        )[0, 0]
        truth = (smooth * 150 + _normal(*shape, seed=8) * 20).contiguous()
        image = (truth + _normal(*shape, seed=9) * 25).contiguous()
        save_file({"truth": truth, "image": image}, folder / "inputs.safetensors")

    def run(self):
        from skimage.metrics import peak_signal_noise_ratio, structural_similarity

        truth, image = (self.inputs[n].numpy() for n in ("truth", "image"))
        width = self.settings["data_range"]
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        slices = [
            structural_similarity(a, b, data_range=width, **how) for a, b in zip(truth, image)
        ]
        self.result = [
            np.abs(truth - image).mean(dtype=np.float64),
            np.square(truth - image).mean(dtype=np.float64),
            peak_signal_noise_ratio(truth, image, data_range=width),
            structural_similarity(truth, image, data_range=width, **how),
            np.mean(slices),
        ]

    def outputs(self):
        return {"numbers": torch.tensor(self.result, dtype=torch.float64)}


PEERS = {
    "unet-forward": UnetForward,
    "unet-train": UnetTrain,
    "denoise": Denoise,
    "vqgan-reconstruct": VqganReconstruct,
    "vqgan-train": VqganTrain,
    "vae-decode": VaeDecode,
    "vit": Vit,
    "vit-load": VitLoad,
    "densenet": DenseNet,
    "resample": Resample,
    "preprocess": Preprocess,
    "drr": Drr,
    "drr-backward": DrrBackward,
    "metrics": Metrics,
}


def peak_memory_bytes(device):
    """Tensors on a GPU, or this process alone: getrusage() counts what compare.py held, too."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    for line in open("/proc/self/status", encoding="ascii"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


def serve(name, folder):
    """Answers the commands of compare.py; bench_ops.cpp describes them."""
    import time

    settings = json.loads((folder / "setup.json").read_text())
    torch.set_num_threads(settings["threads"])
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = settings["tf32"]
    finish = torch.cuda.synchronize if settings["device"] != "cpu" else lambda: None
    peer = PEERS[name](folder, settings)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            start = time.perf_counter()
            peer.run()
            finish()
            print((time.perf_counter() - start) * getattr(peer, "share", 1), flush=True)
        elif command == "profile":
            start = time.perf_counter()
            with torch.autograd.profiler.profile() as trace:
                peer.run()
            seconds = time.perf_counter() - start
            trace.export_chrome_trace(argument)
            print(seconds, flush=True)
        elif command == "save":
            save_file({n: t.contiguous().cpu() for n, t in peer.outputs().items()}, argument)
            print("saved", flush=True)
        elif command == "peak":
            print(peak_memory_bytes(settings["device"]), flush=True)


def prepare(name, folder):
    settings = json.loads((folder / "setup.json").read_text())
    torch.manual_seed(0)
    PEERS[name].prepare(folder, settings)
    (folder / "setup.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    action, operation, place = sys.argv[1:]
    {"prepare": prepare, "serve": serve}[action](operation, pathlib.Path(place))
