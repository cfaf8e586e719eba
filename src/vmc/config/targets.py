"""Which classes a config may name, and building what a config from elsewhere describes.

A `_target_` is called. One that was typed here, or stands in a YAML of this machine, is the user's own choice. One in a
run folder came with the folder, which people share: it must be of this table, unless the user trusts the run.
"""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vmc.errors import VmcError

_SHIPPED = "vmc.mini.shipped.shipped"
TARGETS: dict[str, tuple[str, ...]] = {
    "data": ("vmc.data.motion.MotionData",),
    "data.augmentation": ("vmc.data.augmentation.Augmentation",),
    "data.path": ("vmc.mini.jester_folder.default_folder",),
    "data.source": ("vmc.data.jester.Jester", "vmc.data.folder.VideoFolder"),
    "data.source.path": ("vmc.mini.jester_folder.default_folder",),
    "logger": ("vmc.runs.mirror.NoMirror", "vmc.runs.mirror.WandbMirror"),
    "metrics": ("vmc.metrics.suite.Suite",),
    "metrics.appearance": ("vmc.metrics.networks.ImageTextNetwork",),
    "metrics.appearance.path": (_SHIPPED,),
    "metrics.classifier": (
        "vmc.metrics.classifiers.TRNClassifier",
        "vmc.metrics.classifiers.TSMClassifier",
        "vmc.metrics.hf_classifier.HuggingFaceClassifier",
    ),
    "metrics.classifier.path": (_SHIPPED,),
    "metrics.copying": ("vmc.metrics.networks.CopyNetwork",),
    "metrics.copying.path": (_SHIPPED,),
    "model": ("vmc.diffusion.components.BaseModel",),
    "model.path": (_SHIPPED, "vmc.mini.blank.blank_folder"),
    "motion": ("vmc.data.motion.Motion",),
    "optimizer": ("vmc.training.optimizers.AdamW8bit",),  # and those of torch.optim
    "parameters": ("vmc.diffusion.lora.LoraSubset", "vmc.diffusion.parameters.ParameterSubset"),
    "prompts.file": ("vmc.data.prompts.jester_test_set", "vmc.mini.test_set.test_set_file"),
    "prompts.known": ("vmc.mini.known.known_prompts",),
    "regularization": (
        "vmc.training.regularization.NoRegularization",
        "vmc.training.regularization.RealRegularization",
        "vmc.training.synthetic.SyntheticRegularization",
    ),
    "regularization.sampler": ("vmc.diffusion.sampling.Sampler",),
    "sampler": ("vmc.diffusion.sampling.Sampler",),
    "timesteps": ("vmc.diffusion.timesteps.CoarseNoise", "vmc.diffusion.timesteps.Uniform"),
    "token": ("vmc.diffusion.token.MotionToken",),
    "trainer": ("vmc.training.hardware.Hardware",),
}
"""What may stand as `_target_` at a place of a run's config. A class that ships with a YAML has its line here."""
INSTRUCTIONS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys that Hydra follows in place of handing them on."""
CODE = "trust"
"""The key of a class by which a file's own code may run."""
TRUST = "give trust=true if you made the run or know who did"


def allowed(place: str, target: Any) -> bool:
    """Whether a `_target_` may stand at a place, such as `metrics.classifier`, of a run's config."""
    if not isinstance(target, str):
        return False
    if place == "optimizer" and (found := re.fullmatch(r"torch\.optim\.(\w+)", target)):
        import torch

        named = getattr(torch.optim, found[1], None)
        return isinstance(named, type) and issubclass(named, torch.optim.Optimizer)
    if re.fullmatch(r"metrics\.\w+", place) and target not in TARGETS.get(place, ()):
        return _is_metric(target)
    return target in TARGETS.get(place, ())


def _is_metric(target: str) -> bool:
    """Whether it is one of the project's own metrics."""
    module, _, name = target.rpartition(".")
    if not re.fullmatch(r"vmc\.metrics\.\w+", module) or find_spec(module) is None:
        return False
    from vmc.metrics.base import Metric

    named = getattr(import_module(module), name, None)
    return isinstance(named, type) and issubclass(named, Metric)


def check_foreign(node: Any, place: str, *, source: str, trust: bool = False) -> None:
    """Refuse what a part of a run's config would run or look up beside building what its group is for.

    Args:
        node: the part, as plain dicts and lists.
        place: its dotted key.
        source: the file it comes from, for messages.
        trust: whatever class it names is the user's own wish.

    Raises:
        VmcError: naming the first such thing.
    """
    for key, value in _walk(node, place):
        parent, _, name = key.rpartition(".")
        if isinstance(value, str) and "${" in value:
            raise VmcError(f"{source} has {key}: {value}, but what refers to other values is not looked up in a run")
        if value == "???":
            raise VmcError(f"{source} has no value for {key}; make the run anew, or correct the file")
        if trust:
            continue
        if name == CODE and value is not False:
            raise VmcError(f"{source} has {key}: {value}, which runs the code of a file; {TRUST}")
        if name not in INSTRUCTIONS:
            continue
        if name == "_target_" and not allowed(parent, value):
            raise VmcError(f"{source} has {key}: {value}, which is no class of this project for {parent}; {TRUST}")
        if name != "_target_" and not (name == "_partial_" and parent == "optimizer"):
            raise VmcError(f"{source} has {key}, which no run of this project has; {TRUST}")


def _walk(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every dotted key below a place with its value, those of dicts in lists too."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{place}.{key}", value
            yield from _walk(value, f"{place}.{key}")
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield f"{place}.{number}", value
            yield from _walk(value, f"{place}.{number}")


def build_foreign(node: Any, place: str, *, source: str, trust: bool = False, **more: Any) -> Any:
    """What a part of a run's config describes, built once it is known to be harmless.

    Args:
        node, place, source, trust: see `check_foreign`.
        more: further arguments of the class.

    Raises:
        VmcError: it is not harmless, or its class refuses it.
    """
    from hydra.utils import instantiate

    from vmc.config.values import check_part

    check_foreign(node, place, source=source, trust=trust)
    check_part(node, place)
    return instantiate(node, **more)
