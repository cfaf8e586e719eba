"""CLIP models of open_clip, which map frames and texts to features whose dot product is their cosine.

Axes: N frames or texts, C colors, H and W, L tokens, D features.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as T

from vmc.metrics.networks.files import fill, is_torchscript, read_weights
from vmc.utils.errors import VmcError, first_line

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")  # beside the weights in OpenAI's files alone
_INTERPOLATIONS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}


class ImageText(nn.Module):
    """A CLIP model in fp32 with its tokenizer (texts -> tokens). Its `settings` say how to prepare frames."""

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        self.model, self.tokenizer = model.float(), tokenizer
        self.settings: Mapping[str, Any] = open_clip.get_model_preprocess_cfg(model)
        if self.settings["resize_mode"] == "longest" or self.settings["interpolation"] not in _INTERPOLATIONS:
            raise VmcError(
                f"the CLIP model resizes with {self.settings['resize_mode']}, {self.settings['interpolation']};"
                " choose one whose frames are resized to the shortest side or squashed, bicubic or bilinear"
            )

    @torch.no_grad()
    def encode_frames(self, frames_NCHW: Tensor) -> Tensor:
        """Compute features_ND, of length one, of RGB uint8 frames of any size."""
        return F.normalize(self.model.encode_image(self.prepare(frames_NCHW)), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Compute features_ND, of length one, of texts, which are cut at the length of the model's context."""
        tokens_NL = self.tokenizer(list(texts)).to(next(self.model.parameters()).device)
        return F.normalize(self.model.encode_text(tokens_NL), dim=-1)

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Apply open_clip's transform, which is for PIL images, to a batch of frames."""
        size, sides = self.settings["size"], frames_NCHW.shape[-2:]
        height, width = (size, size) if isinstance(size, int) else size
        if self.settings["resize_mode"] == "squash":
            wanted = [height, width]
        elif height == width:  # torchvision cuts the longer side to a whole pixel, open_clip's own resizing rounds it
            wanted = [height if side == min(sides) else int(height * side / min(sides)) for side in sides]
        else:
            wanted = [round(side / min(sides[0] / height, sides[1] / width)) for side in sides]
        mode = _INTERPOLATIONS[self.settings["interpolation"]]
        frames_NCHW = T.center_crop(T.resize(frames_NCHW, wanted, mode, antialias=True), [height, width])
        pixels_NCHW = frames_NCHW.to(next(self.model.parameters()).device, torch.float32) / 255
        return T.normalize(pixels_NCHW, self.settings["mean"], self.settings["std"])


def load_image_text(path: Path | None, *, architecture: str | None = None, tag: str | None = None) -> ImageText:
    """Load a CLIP model on the CPU, from a folder, or of an architecture of open_clip with a local file or a tag.

    OpenAI's weights were trained with QuickGELU. Into an architecture without it they load, but score wrong, so weights
    that are recognized as theirs are refused there.

    Args:
        path: a folder as on the Hugging Face hub; with an architecture, its weights: safetensors, a state dict, or
            OpenAI's TorchScript archive.
        architecture: open_clip's name, such as ViT-B-32-quickgelu; None with a folder.
        tag: tag of published weights, such as openai; they are downloaded unless open_clip has them in its cache.

    Raises:
        VmcError: a file is missing, truncated, foreign or would run code, or the weights do not fit the architecture.
    """
    with _quiet():
        if architecture is None:
            assert path is not None
            return ImageText(*_from_folder(path)).eval().requires_grad_(False)
        config = open_clip.get_model_config(architecture) if ":" not in architecture else None
        if config is None:
            raise VmcError(f"open_clip knows no architecture '{architecture}'; `open_clip.list_models()` lists them")
        quick_gelu = bool(config.get("quick_gelu"))
        model = _from_file(architecture, path, quick_gelu) if path else _from_tag(architecture, tag or "", quick_gelu)
        return ImageText(model, open_clip.get_tokenizer(architecture)).eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what open_clip logs by the root logger, such as that weights are random before they are loaded."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(former)


def _from_folder(folder: Path) -> tuple[nn.Module, Callable[[list[str]], Tensor]]:
    config, weights = folder / CONFIG, next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if not config.is_file() or weights is None:
        lacking = WEIGHTS[0] if config.is_file() else CONFIG
        raise VmcError(f"the CLIP folder {folder} has no {lacking}; give a complete folder as open_clip writes it")
    try:
        text = json.loads(config.read_text(encoding="utf-8"))["model_cfg"].get("text_cfg", {})
        _refuse_own_code(text, folder)
        model = _blank(f"local-dir:{folder}")
    except VmcError:
        raise
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise VmcError(f"{config} describes no model of open_clip ({first_line(error)})") from error
    model = _fill(model, _tensors(weights), weights, str(config))
    # A tokenizer of transformers: the folder's settings may ask for code of its own, which this refuses.
    safely = {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
    try:
        return model, open_clip.get_tokenizer(f"local-dir:{folder}", **safely)
    except Exception as error:  # the library raises of every kind
        raise VmcError(f"the tokenizer of the CLIP folder {folder} does not load ({first_line(error)})") from error


def _refuse_own_code(text: Any, folder: Path) -> None:
    """Refuse a text model that brings its own code: open_clip would ask on the terminal whether it may run."""
    if not (name := text.get("hf_model_name") if isinstance(text, Mapping) else None):
        return
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # the library raises of every kind
        raise VmcError(
            f"the CLIP folder {folder} has the text model {name}, which is none of transformers' own"
            f" ({first_line(error)}); give a folder of another model"
        ) from error


def _from_file(architecture: str, file: Path, quick_gelu: bool) -> nn.Module:
    if file.is_dir():
        raise VmcError(
            f"{file} is a folder, which names its own architecture; set metrics.appearance.architecture=null"
        )
    state = _tensors(file)
    openai = "openai" in file.name.lower() or is_torchscript(file) or any(name in state for name in _OPENAI_NUMBERS)
    _check_activation(f"file {file} holds OpenAI's weights, which", architecture, openai and not quick_gelu)
    state = {name: part for name, part in state.items() if name not in _OPENAI_NUMBERS}
    return _fill(_blank(architecture), state, file, architecture)


def _from_tag(architecture: str, tag: str, quick_gelu: bool) -> nn.Module:
    published = get_pretrained_cfg(architecture, tag)
    if not published:
        tags = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        raise VmcError(f"open_clip has no weights '{tag}' of {architecture}; its tags are {tags}")
    _check_activation(f"weights '{tag}'", architecture, published.get("quick_gelu", False) and not quick_gelu)
    try:
        return open_clip.create_model(architecture, pretrained=tag)
    except (RuntimeError, OSError, ValueError) as error:
        raise VmcError(
            f"the CLIP weights '{tag}' of {architecture} are not in the cache and do not download"
            f" ({first_line(error)}); name a local file instead"
        ) from error


def _check_activation(what: str, architecture: str, lacking: bool) -> None:
    if lacking:
        raise VmcError(
            f"the CLIP {what} need QuickGELU, and the architecture {architecture} has none;"
            f" choose {architecture}-quickgelu"
        )


def _blank(name: str) -> nn.Module:
    """Create a model without loading weights."""
    with torch.random.fork_rng(devices=[]):
        return open_clip.create_model(name, load_weights=False, pretrained_text=False)


def _tensors(file: Path) -> dict[str, Tensor]:
    content = read_weights(file, kind="CLIP file", expected="a .safetensors or .pt")
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    found = {name.removeprefix("module."): part for name, part in state.items() if isinstance(part, Tensor)}
    if "logit_scale" not in found:
        raise VmcError(f"the CLIP file {file} holds no logit_scale; it is no model of open_clip or OpenAI")
    return found


def _fill(model: Any, state: dict[str, Tensor], file: Path, architecture: str) -> nn.Module:
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    state["logit_scale"] = state["logit_scale"].reshape(model.logit_scale.shape)
    state.pop("text.transformer.embeddings.position_ids", None)
    return fill(model, state, f"the CLIP file {file}", fits=architecture)
