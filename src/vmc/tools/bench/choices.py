"""`python -m vmc.bench choices`: every choice of speed and memory as a case, at the paper's sizes and on the miniature.

A case is a list of overrides of `vmc.train`, measured in a process of its own: one that fails ends no other.
"""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vmc.config.build import build_part
from vmc.config.command import user_error
from vmc.models.zeroscope import ZEROSCOPE
from vmc.tools.bench import common, train, videos
from vmc.tools.bench.common import Figures
from vmc.tools.full_size import random_folder
from vmc.utils.errors import VmcError
from vmc.utils.files import write_json

RELEASE = "like the release"
"""The case that the others are compared with: the plain loop."""
TRAINING: Mapping[str, Sequence[str]] = {
    RELEASE: [],
    "as shipped": [],
    "activations kept": ["trainer.checkpoint_activations=false"],
    "blocks recomputed": ["trainer.checkpoint_activations=true"],
    "layers recomputed": ["trainer.checkpoint_activations=layers"],
    "recomputed as memory asks": ["trainer.checkpoint_activations=auto"],
    "no float32 masters": ["trainer.master_weights=false"],
    "losses read every step": ["trainer.log_every=1"],
    "compiled layers": ["trainer.compile=layers"],
    "compiled layers, activations kept": ["trainer.compile=layers", "trainer.checkpoint_activations=false"],
    "one CUDA graph, activations kept": ["trainer.cuda_graph=true", "trainer.checkpoint_activations=false"],
    "float32": ["trainer.precision=32-true"],
    "float16": ["trainer.precision=16-mixed"],
    "plain attention": ["model.attention=plain"],
    "fused attention": ["model.attention=fused"],
    "optimizer not fused": ["+optimizer.fused=false"],
    "optimizer by foreach": ["+optimizer.foreach=true"],
    "8-bit AdamW": ["optimizer=adamw8bit"],
    "8-bit AdamW, blocks recomputed": ["optimizer=adamw8bit", "trainer.checkpoint_activations=true"],
    "Adafactor": ["optimizer=adafactor"],
    "adapters": ["parameters=lora"],
    "two micro-batches": ["batch_size=4", "trainer.accumulate=2"],
}
SAMPLING: Mapping[str, Sequence[str]] = {
    RELEASE: [],
    "as shipped": [],
    "1 at a time": ["generation_batch=1"],
    "4 at a time": ["generation_batch=4"],
    "8 at a time": ["generation_batch=8"],
    "float32": ["trainer.precision=32-true"],
    "float16": ["trainer.precision=16-mixed"],
    "weights under autocast": ["trainer.low_precision_sampling=false"],
    "decoded in float32": ["trainer.low_precision_decoding=false"],
    "not overlapped": ["trainer.overlap=false"],
    "guided in part": ["sampler.guidance_interval=[0.3,5.4]"],
    "compiled layers": ["trainer.compile=layers"],
    "CUDA graphs": ["trainer.cuda_graph=true"],
    "1 frame decoded at a time": ["trainer.decode_frames=1"],
    "16 frames decoded at a time": ["trainer.decode_frames=16"],
    "frames decoded in tiles": ["trainer.decode_tile=256"],
    "autoencoder in main memory": ["trainer.offload=true"],
}
SHORT = ["sampler.steps=5"]
"""Overrides of every case of sampling."""
NOTES = [
    "Each case is a process of its own, its memory that of PyTorch's tensors (on a CPU: of the process).",
    "s is seconds a training step, or seconds a video of so few sampler steps, its mp4 included; x is the time of the"
    f" case '{RELEASE}' over that of the case.",
]


class Case(NamedTuple):
    """A case: the stack and what is done (`paper training`), its name, and its overrides."""

    group: str
    name: str
    overrides: list[str]

    @property
    def label(self) -> str:
        """What the case is called in the report."""
        return f"{self.group}, {self.name}"

    @property
    def samples(self) -> bool:
        """Whether videos are made, not steps trained."""
        return self.group.endswith("sampling")


def find_cases(stacks: Sequence[str], further: Sequence[str] = (), only: str | None = None) -> list[Case]:
    """List the cases of some stacks, on a GPU where the further overrides name no trainer.

    Args:
        stacks: paper or mini.
        further: overrides behind each case's own.
        only: a regular expression that a case's name contains; None takes all. What the others are compared with is
            among them whatever this says.

    Raises:
        VmcError: `only` is no regular expression, or in no case's name; or a case does not compose, which is named.
    """
    trainer = [] if any(word.startswith("trainer=") for word in further) else ["trainer=gpu"]
    found = [
        Case(f"{stack} {kind}", name, [f"stack={stack}", *trainer, *first, *words, *further])
        for stack in stacks
        for kind, first, cases in (("training", [], TRAINING), ("sampling", SHORT, SAMPLING))
        for name, words in cases.items()
    ]
    if only:
        try:
            wanted = [case for case in found if re.search(only, case.label)]
        except re.error as error:
            raise VmcError(f"--only is {only}, which is no regular expression: {error}; give one") from error
        if not wanted:
            raise VmcError(f"--only is {only}, which no case's name contains; leave it out to see them all")
        groups = {case.group for case in wanted}
        found = [case for case in found if case in wanted or (case.name == RELEASE and case.group in groups)]
    for case in found:
        try:
            common.compose_run(case.overrides, scored=case.samples, parts=False)
        except VmcError as error:
            raise VmcError(f"case '{case.label}': {error}") from error
    return found


def choices(arguments: Namespace) -> dict[str, Any]:
    """Measure seconds, memory and gain of every case; those that fail stand in the notes with the reason. Each is
    printed, and written to `--output`, as soon as it is known.

    Raises:
        VmcError: a case does not compose, or there is no GPU.
    """
    stacks = [arguments.stack] if arguments.stack else ["paper", "mini"]
    cases = find_cases(stacks, arguments.overrides, arguments.only)
    hardware = build_part(common.compose_run(cases[0].overrides, scored=False, parts=False), "trainer")
    if not any(word.startswith("model.path=") for word in arguments.overrides):
        of_paper = [case for case in cases if case.group.startswith("paper")]
        if of_paper and not arguments.model.is_dir():
            random_folder(arguments.model, ZEROSCOPE)
        for case in of_paper:
            case.overrides.append(f"model.path={arguments.model}")
    settings = {"steps": arguments.steps, "videos": arguments.videos, "overrides": len(arguments.overrides)}
    figures: Figures = {}
    failed, base, report = list[str](), float("nan"), dict[str, Any]()
    for case in cases:
        print(f"{case.label} ...", flush=True)
        base = float("nan") if case.name == RELEASE else base
        try:
            count = arguments.videos if case.samples else arguments.steps
            taken, peak = common.apart(partial(measure_case, case, count, arguments.repeats))
        except Exception as error:  # out of memory, a package that is not installed, a kernel that is not there
            failed.append(f"{case.label} failed: {user_error(error) or ' '.join(str(error).split())[:300]}")
            print(f"  {failed[-1]}", flush=True)
        else:
            values = np.array(taken)
            found: Figures = {case.label: ("s", values), f"{case.label}, memory": ("GiB", np.array([peak / 2**30]))}
            if case.name == RELEASE:
                base = float(np.median(values))
            elif np.isfinite(base):
                found[f"{case.label}, gain"] = "x", base / values
            print("  " + ", ".join(f"{np.median(some):.4g} {unit}" for unit, some in found.values()), flush=True)
            figures |= found
        report = common.make_report("choices", settings, figures, [*NOTES, *failed], hardware)
        if arguments.output is not None:  # after each: all of them take half an hour, and one may not let it end
            write_json(arguments.output, report)
    return report


def measure_case(case: Case, count: int, repeats: int) -> list[float]:
    """Time a step, or a video, of so many in each round."""
    loop, time = (videos.PLAIN, videos.time_videos) if case.samples else (train.PLAIN, train.time_steps)
    plain = loop.differing(case.overrides) if case.name == RELEASE else []
    return time(case.overrides, count, plain, repeats)
