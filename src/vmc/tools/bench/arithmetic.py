"""The arithmetic of a training step, counted, and what a device could do at most."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vmc.diffusion.sampling import Conditioning
from vmc.tools.bench.measure import Figures
from vmc.training.hardware import Hardware
from vmc.training.session import Session

PEAKS = {
    "H200": (989.5, 67.0),
    "H100 PCIe": (756.0, 51.0),
    "H100 NVL": (835.5, 60.0),
    "H100": (989.5, 67.0),
    "A100": (312.0, 19.5),
    "L40S": (362.0, 91.6),
    "A10": (125.0, 31.2),
    "V100": (125.0, 15.7),
}
"""Part of a GPU's name -> TFLOP/s in bfloat16 or float16, dense, and in float32 without TF32; NVIDIA's data sheets. The
first that fits is taken.
"""


def step_flops(session: Session) -> int:
    """Floating-point operations of the denoiser in a step, forward and backward, nothing computed twice; counted on the
    meta device.

    Axes: B clips of a batch, C latent channels, F frames, H and W.
    """
    experiment, device = session.experiment, torch.device("meta")
    model, clips = experiment.model, len(session.plan(1, 1).draw(0, 0)) * session.batch_size
    denoiser = model.empty_denoiser().requires_grad_(False)
    session.subset.select_trainable(denoiser, model.groups)
    text = model.text_encoder(experiment.token)("a person")
    latents_BCFHW = torch.zeros(clips, *model.latent_shape(frames=model.frames, size=model.size), device=device)
    times_B = torch.zeros(clips, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        texts = Conditioning.cat([text] * clips).to(device)
        prediction = model.predict(denoiser, latents_BCFHW, model.process.timesteps(times_B).to(device), texts)
        prediction.sum().backward()
    return counter.get_total_flops()


def arithmetic_figures(session: Session, seconds: np.ndarray) -> Figures:
    """Operations over the seconds of a step, and their share of the most that a GPU of a known name can do; none where
    the text is encoded in the step.
    """
    if session.experiment.token.trains:
        return {}
    flops = step_flops(session) / 1e12
    rate = flops / seconds
    figures: Figures = {
        "arithmetic of a step": ("TFLOP", np.array([flops])),
        "arithmetic": ("TFLOP/s", rate),
    }
    if (peak := peak_of(session.experiment.hardware)) is not None:
        figures["arithmetic, of the device's peak"] = "%", 100 * rate / peak
    return figures


def peak_of(hardware: Hardware) -> float | None:
    """TFLOP/s at most in the precision that is computed in; None where the device is not in the table."""
    if hardware.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(hardware.device)
    low = hardware.precision != "32-true"
    return next((peaks[not low] for part, peaks in PEAKS.items() if part in name), None)
