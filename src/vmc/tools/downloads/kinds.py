"""Whether a local file or folder is what its loader needs; every kind is opened by the loader that runs use."""

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vmc.utils.errors import VmcError, first_line

CLIP_ARCHITECTURE = "ViT-B-32-quickgelu"
"""Of a file of CLIP weights, which does not name its own; `conf/metrics/paper.yaml` has the same."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a file does not say of itself.

    Args:
        architecture: of a CLIP file, as open_clip names it.
        labels: file with a classifier's names of classes, one a line; None for Jester's 27.
    """

    architecture: str = CLIP_ARCHITECTURE
    labels: Path | None = None


def check(path: Path, *, kind: str | None = None, options: Options | None = None) -> str:
    """A sentence on what the file is, once its loader has opened it.

    Args:
        path: a file or folder.
        kind: one of `KINDS`; None finds out.
        options: see there.

    Raises:
        VmcError: it is missing, of no known kind, truncated, would run code, or a tensor does not fit.
    """
    path = path.expanduser()
    if not path.exists():
        raise VmcError(f"{path} does not exist: correct the path, or get the file with python -m vmc.weights get NAME")
    kind = kind or recognise(path)
    try:
        found = KINDS[kind](path, options or Options())
    except VmcError:
        raise
    except Exception as error:  # libraries raise of every kind for a damaged file
        raise VmcError(f"{path} does not load as {kind} ({first_line(error)}): get it again") from error
    return f"{path} is {found}"


def recognise(path: Path) -> str:
    """The kind of a file or folder by what it holds; of one that does not read, by its name.

    Raises:
        VmcError: it is none of `KINDS`.
    """
    kind = _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    if kind is None:
        raise VmcError(
            f"{path} is none of the kinds that are known ({', '.join(KINDS)}): name the one that it should be with --as"
        )
    return kind


def _kind_of_folder(folder: Path) -> str | None:
    if (folder / "model_index.json").is_file() or (folder / "unet").is_dir():
        return "pipeline"
    if (folder / "open_clip_config.json").is_file():
        return "clip"
    return "video-classifier" if (folder / "config.json").is_file() else None


def _kind_of_file(file: Path) -> str | None:
    names = _tensor_names(file)
    if names is None:
        return _kind_by_name(file)
    tests: dict[str, Callable[[str], bool]] = {
        "delta": lambda name: name.startswith(("unet.", "transformer.blocks.", "text_encoder.token")),
        "clip": lambda name: name.startswith(("visual.", "transformer.resblocks.", "text.")),
        "trn": lambda name: name.startswith(("base_model.", "consensus.", "new_fc.")),
        "sscd": lambda name: name.startswith("backbone."),
        "tsm": lambda name: name.startswith(("features.", "classifier.")),
    }
    counts = {kind: sum(map(test, names)) for kind, test in tests.items()}
    best = max(counts, key=lambda kind: counts[kind])
    return best if counts[best] else _kind_by_name(file)


def _kind_by_name(file: Path) -> str | None:
    name = file.name.lower()
    marks = (
        (".torchscript.pt", "sscd"),
        (".torchvision.pt", "sscd"),
        ("sscd", "sscd"),
        ("mobilenetv2", "tsm"),
        ("trn", "trn"),
        (".pth.tar", "trn"),
        ("vit-", "clip"),
        ("clip", "clip"),
        (".safetensors", "delta"),
    )
    return next((kind for mark, kind in marks if mark in name), None)


def _tensor_names(file: Path) -> list[str] | None:
    """Names without `module.`; None where the file does not read. No code of the file's is run."""
    from safetensors import SafetensorError, safe_open

    from vmc.metrics.networks.files import load_weights

    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return list(opened.keys())
        # Mapped, not read: only the names are wanted. Files of before 2020 cannot be mapped.
        content = load_weights(file, mmap=zipfile.is_zipfile(file))
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError, SafetensorError):
        return None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return [str(name).removeprefix("module.") for name in state] if isinstance(state, Mapping) else []


def _pipeline(path: Path, options: Options) -> str:
    """Every part through its family, one after the other, in half precision to save memory."""
    from vmc.models.pipelines import family_of

    base = family_of(path)(path=path, strict=True)
    counts = {}
    for part in base.networks:
        module = base.open(part, torch.float16)
        _check_finite(module.named_parameters(), path / part)
        counts[part.replace("_", " ")] = sum(tensor.numel() for tensor in module.parameters())
        del module
    if reason := base.mismatch():
        raise VmcError(f"{path} {reason}: the parts are of two models, get the complete folder again")
    base.tokenizer(), base.process.solver()
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"a text-to-video pipeline in the diffusers layout (parameters: {told})"


def _check_finite(tensors: Iterable[tuple[str, torch.Tensor]], path: Path) -> None:
    for name, tensor in tensors:
        if not torch.isfinite(tensor).all():
            raise VmcError(f"{path} holds {name} with values that are not finite: get it again")


def _delta(path: Path, options: Options) -> str:
    from vmc.models.pipelines import families
    from vmc.training.delta import FIRST_FAMILY, TOKEN, Delta

    delta = Delta.load(path)
    family = families().get(delta.about.get("family", FIRST_FAMILY))
    for name in delta.tensors:
        if family is not None and not name.startswith(f"{family.prefix}.") and not name.startswith(TOKEN):
            raise VmcError(f"{path} holds {name}, which has no place in a model: get the file again")
    _check_finite(delta.tensors.items(), path)
    about = delta.about
    trained = "low-rank adapters" if "lora" in about else ", ".join(about.get("groups", ())) or "the token"
    count = sum(tensor.numel() for tensor in delta.tensors.values())
    return (
        f"a vmc delta of step {about.get('step')} ({trained}: {len(delta.tensors)} tensors, {count:,} parameters),"
        f" trained on {about.get('base')}"
    )


def _trn(path: Path, options: Options) -> str:
    from vmc.metrics.networks.classifiers import read_labels
    from vmc.metrics.networks.trn import load_trn

    classes = len(read_labels(options.labels))
    model = load_trn(path, classes=classes)
    _check_finite(model.named_parameters(), path)
    count = sum(tensor.numel() for tensor in model.parameters())
    return f"a TRN gesture classifier of {classes} classes ({count:,} parameters)"


def _tsm(path: Path, options: Options) -> str:
    from vmc.metrics.networks.classifiers import read_labels
    from vmc.metrics.networks.tsm import load_tsm

    classes = len(read_labels(options.labels))
    _check_finite(load_tsm(path, classes=classes).named_parameters(), path)
    return f"an online TSM gesture classifier of {classes} classes"


def _sscd(path: Path, options: Options) -> str:
    from vmc.metrics.networks.sscd import CopyNetwork

    descriptor = CopyNetwork(path=path)
    _check_finite(descriptor.network.named_parameters(), path)
    try:
        described = descriptor(torch.full((1, 3, 32, 48), 128, dtype=torch.uint8))
    except RuntimeError as error:
        raise VmcError(f"{path} does not take images ({first_line(error)}): it is no SSCD model") from error
    if not isinstance(described, torch.Tensor) or described.ndim != 2:
        raise VmcError(f"{path} does not give a descriptor an image: it is no SSCD model")
    if abs(float(described.norm()) - 1) > 1e-3:
        raise VmcError(f"{path} gives descriptors of length {float(described.norm()):.3g}, not 1: it is no SSCD model")
    return f"an SSCD copy descriptor of width {described.shape[1]}"


def _clip(path: Path, options: Options) -> str:
    from vmc.metrics.networks.open_clip import load_image_text

    opened = load_image_text(path, architecture=None if path.is_dir() else options.architecture)
    _check_finite(opened.model.named_parameters(), path)
    width = opened.encode_texts(["a man"]).shape[1]
    called = "its folder's own" if path.is_dir() else options.architecture
    return f"a CLIP model ({called} architecture, features of width {width})"


def _video_classifier(path: Path, options: Options) -> str:
    from vmc.metrics.networks.classifiers import HuggingFaceClassifier

    classifier = HuggingFaceClassifier(path=path)
    labels = classifier.labels
    _check_finite(classifier.open().named_parameters(), path)
    return f"a Hugging Face video classifier of {len(labels)} classes"


KINDS: Mapping[str, Callable[[Path, Options], Any]] = {
    "pipeline": _pipeline,
    "delta": _delta,
    "trn": _trn,
    "tsm": _tsm,
    "sscd": _sscd,
    "clip": _clip,
    "video-classifier": _video_classifier,
}
"""By the name that `--as` takes."""
