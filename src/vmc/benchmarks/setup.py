"""What benchmarks take from the configs, so that they measure what runs do; read as plain YAML."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from vmc.data.motion import Motion
from vmc.data.prompts import Prompt, read_prompts, spread
from vmc.diffusion.sampling import Sampler
from vmc.errors import VmcError
from vmc.metrics.suite import Suite
from vmc.mini.card.settings import MOTION, config_folder
from vmc.models.base import VideoModel
from vmc.models.token import MotionToken
from vmc.runs.generation import VideoGenerator
from vmc.training.hardware import Hardware, Precision
from vmc.training.tuned import TunedModel

SEEDS = 3
"""Of each subject of the miniature's test set."""


def read(name: str) -> dict[str, Any]:
    """A group's choice, such as `model/mini`, as it is written."""
    return yaml.safe_load((config_folder() / f"{name}.yaml").read_text(encoding="utf-8"))


def build(node: Any) -> Any:
    """What a part of a config stands for: its `_target_` called with the keys beside it."""
    if isinstance(node, list):
        return [build(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {key: build(part) for key, part in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return parts
    module, _, name = node["_target_"].rpartition(".")
    made = getattr(import_module(module), name)
    return partial(made, **parts) if node.get("_partial_") else made(**parts)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A model and what it runs on; the rest is the miniature's stack. It can be sent to another process.

    Args:
        model: a folder in the diffusers layout; None for the miniature's.
        frames, size: of a video; None for the miniature's.
        sampler_steps: None for the miniature's.
        device: cpu or gpu.
        precision: see `Hardware`.
        threads: on a CPU; None for those of `conf/trainer/cpu.yaml`.
    """

    model: Path | None = None
    frames: int | None = None
    size: int | None = None
    sampler_steps: int | None = None
    device: str = "cpu"
    precision: Precision = "32-true"
    threads: int | None = None

    @classmethod
    def of(cls, arguments: Namespace, *, sampler_steps: int | None = None) -> "Setup":
        """As the command line says.

        Raises:
            VmcError: a model that is no folder, or no GPU where one is asked for.
        """
        if arguments.model is not None and not arguments.model.is_dir():
            raise VmcError(f"--model is {arguments.model}, which is no folder; give a pipeline in the diffusers layout")
        names = ("model", "frames", "size", "device", "precision", "threads")
        setup = cls(sampler_steps=sampler_steps, **{name: getattr(arguments, name) for name in names})
        _ = setup.hardware
        return setup

    @property
    def hardware(self) -> Hardware:
        """Where it runs."""
        written = read(f"trainer/{self.device}")
        threads = (self.threads or written["threads"]) if self.device == "cpu" else None
        return Hardware(
            accelerator=self.device,
            precision=self.precision,
            threads=threads,
            decode_frames=written["decode_frames"],
        )

    @property
    def base(self) -> VideoModel:
        """The base model."""
        node = read("model/mini")["model"]
        changes = {"path": self.model and str(self.model), "frames": self.frames, "size": self.size}
        return build({**node, **{key: value for key, value in changes.items() if value is not None}})

    @property
    def sampler(self) -> Sampler:
        """Steps and guidance."""
        written = read("model/mini")["sampler"]
        return Sampler(steps=self.sampler_steps or written["steps"], guidance=written["guidance"])

    @property
    def motion(self) -> Motion:
        """The motion that is asked for."""
        return build(read(f"motion/{MOTION}"))

    @property
    def token(self) -> MotionToken:
        """The rare word."""
        return build(read("token/frozen"))

    def suite(self) -> Suite:
        """The miniature's metrics, its networks there.

        Raises:
            VmcError: naming those that are missing.
        """
        suite = build(read("metrics/mini"))
        suite.check()
        return suite

    def prompts(self, count: int) -> Sequence[Prompt]:
        """So many of the test set: subjects spread through it, each with all its seeds, as texts are shared there.

        Raises:
            VmcError: it has not so many.
        """
        file = build(read("prompts/mini")["file"])
        found = read_prompts(
            file, template=self.motion.template, token=self.token.word, seeds=[0], language=self.motion.language
        )
        if count > len(found):
            raise VmcError(f"--videos is {count}; the test set has {len(found)} prompts, give at most as many")
        return spread(found, -(-count // SEEDS))[:count]

    def generator(self, *, batch_size: int | None = None) -> VideoGenerator:
        """The untuned model's, on its device, with its threads set."""
        hardware = self.hardware
        hardware.use_threads()
        model = TunedModel.load(self.base, self.token, None, hardware=hardware)
        return model.generator(sampler=self.sampler, batch_size=batch_size)

    def describe(self) -> dict[str, Any]:
        """For a report; no paths."""
        base = self.base
        said: dict[str, Any] = {
            "model": self.model.resolve().name if self.model else "mini",
            "video": [base.frames, base.size, base.size],
        }
        return said | ({"precision": self.precision} if self.precision != "32-true" else {})
