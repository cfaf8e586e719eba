"""Whether a local file or folder is what its loader needs; every kind is opened by the loader that runs use."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vmc.metrics.networks.files import is_torchscript, read_weights
from vmc.utils.errors import VmcError, first_line

CLIP_ARCHITECTURE = "ViT-B-32-quickgelu"
"""The architecture of a file of CLIP weights, which does not name its own; `conf/metrics/paper.yaml` has the same."""


def check(
    path: Path, *, kind: str | None = None, architecture: str = CLIP_ARCHITECTURE, labels: Path | None = None
) -> str:
    """Open a file or folder by its loader, and say in a sentence what it is.

    Args:
        path: the file or folder.
        kind: one of `KINDS`; None finds out.
        architecture: of a CLIP file, as open_clip names it.
        labels: file with a classifier's names of classes, one a line; None for Jester's 27.

    Raises:
        VmcError: it is missing, of no known kind, truncated, would run code, or a tensor does not fit.
    """
    path = path.expanduser()
    if not path.exists():
        raise VmcError(f"{path} does not exist: correct the path, or get the file with python -m vmc.weights get NAME")
    kind = kind or recognize(path)
    if kind not in KINDS:
        raise VmcError(f"--as is {kind}; it must be one of {', '.join(KINDS)}")
    classes: dict[str, Any] = {"labels": labels}
    more = {"clip": {"architecture": architecture}, "trn": classes, "tsm": classes}
    try:
        return f"{path} is {KINDS[kind](path, **more.get(kind, {}))}"
    except VmcError:
        raise
    except Exception as error:  # libraries raise of every kind for a damaged file
        raise VmcError(f"{path} does not load as {kind} ({first_line(error)}): get it again") from error


TENSORS = {
    "delta": ("unet.", "transformer.blocks.", "text_encoder.token"),
    "clip": ("visual.", "transformer.resblocks.", "text."),
    "trn": ("base_model.", "consensus.", "new_fc."),
    "sscd": ("backbone.",),
    "tsm": ("features.", "classifier."),
}
"""What the names of a kind's tensors begin with."""
FOLDERS = {
    **{"model_index.json": "pipeline", "unet": "pipeline", "open_clip_config.json": "clip"},
    "config.json": "video-classifier",
}
"""A name in a folder -> the folder's kind; the first that is there is taken."""


def recognize(path: Path) -> str:
    """Find out the kind of a file or folder by what it holds; no code of a file's is run.

    Raises:
        VmcError: it does not read, or is none of `KINDS`.
    """
    kind = next((kind for name, kind in FOLDERS.items() if (path / name).exists()), None)
    if path.is_file():
        try:
            content = read_weights(path, kind="file", expected="weights")
        except VmcError:
            if not is_torchscript(path):
                raise
            return "sscd"  # whose loader knows what an archive with code of its own is
        state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
        names = [str(name).removeprefix("module.") for name in state] if isinstance(state, Mapping) else []
        counts = {kind: sum(name.startswith(begin) for name in names) for kind, begin in TENSORS.items()}
        best = max(counts, key=lambda kind: counts[kind])
        kind = best if counts[best] else None
    if kind is None:
        told = f"{path} is none of the kinds that are known ({', '.join(KINDS)})"
        raise VmcError(f"{told}: name the one that it should be with --as")
    return kind


# --- opening: each says what it found ---


def _pipeline(path: Path) -> str:
    """Open every part by its family, one after the other, in half precision to save memory."""
    from vmc.models.base import family_of

    base = family_of(path)(path=path, strict=True)
    counts = [
        f"{part.replace('_', ' ')} {_count(base.open(part, torch.float16), path / part):,}" for part in base.networks
    ]
    base.tokenizer(), base.process.solver()
    return f"a text-to-video pipeline in the diffusers layout (parameters: {', '.join(counts)})"


def _count(weights: nn.Module | Mapping[str, torch.Tensor], path: Path) -> int:
    """Count the parameters, which must all be finite."""
    tensors = dict(weights.named_parameters()) if isinstance(weights, nn.Module) else weights
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise VmcError(f"{path} holds {name} with values that are not finite: get it again")
    return sum(tensor.numel() for tensor in tensors.values())


def _delta(path: Path) -> str:
    from vmc.models.base import families
    from vmc.training.tuned_weights import FIRST_FAMILY, TOKEN, Delta

    delta = Delta.load(path)
    about, family = delta.about, families().get(delta.about.get("family", FIRST_FAMILY))
    for name in delta.tensors:
        if family is not None and not name.startswith((f"{family.prefix}.", TOKEN)):
            raise VmcError(f"{path} holds {name}, which has no place in a model: get the file again")
    trained = "low-rank adapters" if "lora" in about else ", ".join(about.get("groups", ())) or "the token"
    size = f"{len(delta.tensors)} tensors, {_count(delta.tensors, path):,} parameters"
    return f"a vmc delta of step {about.get('step')} ({trained}: {size}), trained on {about.get('base')}"


def _gesture_classifier(path: Path, labels: Path | None, *, kind: str) -> str:
    from vmc.metrics.networks.classifiers import load_tsm, read_labels
    from vmc.metrics.networks.trn import load_trn

    classes = len(read_labels(labels))
    load, article = (load_trn, "a") if kind == "TRN" else (load_tsm, "an online")
    network = load(path, classes=classes)
    return f"{article} {kind} gesture classifier of {classes} classes ({_count(network, path):,} parameters)"


def _sscd(path: Path) -> str:
    from vmc.metrics.networks.sscd import CopyNetwork

    descriptor = CopyNetwork(path=path)
    _count(descriptor.network, path)
    try:
        described = descriptor(torch.full((1, 3, 32, 48), 128, dtype=torch.uint8))
    except RuntimeError as error:
        raise VmcError(f"{path} does not take images ({first_line(error)}): it is no SSCD model") from error
    if not isinstance(described, torch.Tensor) or described.ndim != 2:
        raise VmcError(f"{path} does not give a descriptor an image: it is no SSCD model")
    if abs(float(described.norm()) - 1) > 1e-3:
        raise VmcError(f"{path} gives descriptors of length {float(described.norm()):.3g}, not 1: it is no SSCD model")
    return f"an SSCD copy descriptor of width {described.shape[1]}"


def _clip(path: Path, architecture: str) -> str:
    from vmc.metrics.networks.open_clip import load_image_text

    folder = path.is_dir()
    opened = load_image_text(path, architecture=None if folder else architecture)
    _count(opened.model, path)
    width = opened.encode_texts(["a man"]).shape[1]
    called = "its folder's own" if folder else architecture
    return f"a CLIP model ({called} architecture, features of width {width})"


def _video_classifier(path: Path) -> str:
    from vmc.metrics.networks.classifiers import HuggingFaceClassifier

    classifier = HuggingFaceClassifier(path=path)
    labels = classifier.labels
    _count(classifier.open(), path)
    return f"a Hugging Face video classifier of {len(labels)} classes"


KINDS: Mapping[str, Callable[..., str]] = {
    "pipeline": _pipeline,
    "delta": _delta,
    "trn": partial(_gesture_classifier, kind="TRN"),
    "tsm": partial(_gesture_classifier, kind="TSM"),
    "sscd": _sscd,
    "clip": _clip,
    "video-classifier": _video_classifier,
}
"""By the name that `--as` takes."""
