"""Training the UNet of a finished pipeline on with what it seldom or never saw: two people, tempo, sequences, objects.

One clip of forty was of each in pretraining, all before moving cameras, and the base model drew hardly any. The text
encoder, which learned to read them in its lessons, and the autoencoder stay as they are. The optimizer begins anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from vmc.mini.makers import blank
from vmc.mini.makers.pretraining import networks
from vmc.mini.makers.pretraining.clips import MIXED, PLAIN, THINGS, VALIDATION, Clips, spec_of
from vmc.mini.makers.pretraining.denoiser import Denoiser, Drawing
from vmc.mini.makers.pretraining.export import write_pipeline
from vmc.mini.makers.pretraining.latents import Latents
from vmc.mini.makers.pretraining.variety_command import KINDS, MOTION_SHARE
from vmc.mini.world.hashing import renderer_hash
from vmc.models.latent_diffusion import forward_process
from vmc.tools.learning.training import Task, TaskProgress
from vmc.utils.errors import VmcError
from vmc.utils.files import sha256_of

RATE = 0.006
"""Of Muon: 0.02 in pretraining, which ended with 0.0006."""
SHARES = (0.625, 0.25, 0.125)
"""Of a batch: clips of variety, plain ones, and objects."""
POSTERIORS = 64
"""Windows from which the posterior's deviation is taken."""


@dataclass(frozen=True, kw_only=True)
class VarietyPlan:
    """What is trained on with what.

    Args:
        pipeline: a folder in the diffusers layout, which is only read.
        clips: of two people, of tempo and of sequences.
        plain: of one person and gesture, so that these are not forgotten.
        objects: at rest.
        validation: pretraining clips that are measured and never trained on.
        batch: clips a step.
        seed: of every draw.
        device: cpu or cuda.
        times: how often a clip of each kind is drawn while one of weight 1 is drawn once.
        motion: share of the steps in which clips count by what moves in them at every timestep.
        pictures: whether one step in eight draws single frames, for what people look like.
    """

    pipeline: Path
    clips: int
    plain: int
    objects: int
    validation: int = 64
    batch: int = 16
    seed: int = 0
    device: str = "cpu"
    times: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 1))
    motion: float = MOTION_SHARE
    pictures: bool = False

    def __post_init__(self) -> None:
        if min(self.times.values()) < 0 or not any(self.times.values()):
            told = " ".join(map(str, self.times.values()))
            raise VmcError(f"--times is {told}; no number may be negative, and one must be above 0")

    @property
    def sets(self) -> tuple[Clips, ...]:
        """Clips that are measured, those of variety, plain ones, and objects."""
        counts = {VALIDATION: self.validation, MIXED: self.clips, PLAIN: self.plain, THINGS: self.objects}
        return tuple(Clips(count, first=first) for first, count in counts.items())

    def prepare(self, enough: Callable[[], bool], *, workers: int) -> bool:
        """Render and encode what is missing; whether all is there."""
        ready = all(clips.prepare(workers=workers, enough=enough) for clips in self.sets)
        return ready and all(latents.prepare(enough) for latents in self.latents)

    @property
    def latents(self) -> tuple[Latents, ...]:
        """Of `sets`."""
        return tuple(Latents(clips, self.vae) for clips in self.sets)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """The pipeline's own."""
        vae: Any = AutoencoderKL.from_pretrained(self.pipeline / "vae", torch_dtype=torch.float32)
        return vae.requires_grad_(False).eval().to(self.device)

    def make_task(self, steps: int) -> Task:
        """The UNet's training."""
        unet: Any = UNet3DConditionModel.from_pretrained(self.pipeline / "unet", torch_dtype=torch.float32)
        unet = unet.eval().to(self.device)
        text: Any = CLIPTextModel.from_pretrained(self.pipeline / "text_encoder", dtype=torch.float32)
        text = text.requires_grad_(False).eval().to(self.device)
        tokenizer = networks.make_tokenizer()
        validation, mixed, *others = self.latents
        own_C, schedule = self._deviation(mixed.clips), forward_process(blank.scheduler())
        kinds: dict[str, Any] = {"others": tuple(others), "shares": SHARES, "chosen": self.chosen(mixed.clips)}
        kinds |= {"motion": round(self.motion * steps), "images": int(self.pictures)}
        draw = Drawing(mixed, own_C, schedule, self.seed, self.batch, **kinds)
        fixed = Drawing(validation, own_C, schedule, self.seed, self.batch).fixed()

        def loss_of(parts: nn.ModuleDict, step: int) -> Tensor:
            return Denoiser(tokenizer, text, _unet(parts)).loss(draw(step))

        def measure(parts: nn.ModuleDict, step: int) -> float:
            return Denoiser(tokenizer, text, _unet(parts)).measure(fixed)

        def export(parts: nn.ModuleDict, folder: Path, progress: TaskProgress) -> None:
            write_pipeline(folder / "pipeline", unet=_unet(parts), vae=self.vae, text_encoder=text)

        return Task(
            name="variety",
            networks={"unet": unet},
            rate=RATE,
            steps=steps,
            loss_of=loss_of,
            measure=measure,
            identity=self.identity(),
            export=export,
        )

    def chosen(self, clips: Clips) -> tuple[int, ...]:
        """Windows of the clips of variety, each as often as its kind is to be drawn."""
        return tuple(window for window in range(len(clips)) for _ in range(self.times[kind_of(clips.number(window))]))

    def identity(self) -> dict[str, Any]:
        """What must be equal to go on with a folder; more clips may come."""
        weights = sha256_of(self.pipeline / "unet" / "diffusion_pytorch_model.safetensors")
        return {
            "unet": weights[:16],
            "renderer": renderer_hash()[:16],
            "batch": self.batch,
            "times": list(self.times.values()),
            "motion": self.motion,
            "pictures": self.pictures,
        }

    @torch.no_grad()
    def _deviation(self, clips: Clips) -> tuple[float, ...]:
        """The posterior's own mean deviation in every latent channel, over frames of the clips."""
        frames_NFHWC = clips.frames(range(min(POSTERIORS, len(clips))))
        pixels_NCHW = torch.from_numpy(frames_NFHWC[:, 0]).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
        deviation_C = self.vae.encode(pixels_NCHW).latent_dist.std.mean((0, 2, 3)) * self.vae.config.scaling_factor
        return tuple(deviation_C.tolist())


@cache
def kind_of(number: int) -> str:
    """Which of `KINDS` a clip of variety is of."""
    spec = spec_of(number)
    if len(spec.persons) == 2:
        return "people"
    if len(spec.gestures) == 2:
        return "sequence"
    return "tempo" if spec.tempo != "normal" else "ordinary"


def _unet(parts: nn.ModuleDict) -> UNet3DConditionModel:
    unet: Any = parts["unet"]
    return unet
