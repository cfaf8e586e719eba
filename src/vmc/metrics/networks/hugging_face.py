"""Any video classifier of the transformers library as a gesture classifier.

Axes: B videos, S frames that the classifier takes, C colours, H and W, K classes.
"""

import json
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from vmc.metrics.base import in_parts, resized_centre
from vmc.metrics.networks.classifiers import VIDEOS_AT_ONCE
from vmc.metrics.networks.files import NetworkFile
from vmc.metrics.networks.trn import segment_indices
from vmc.utils.errors import VmcError, first_line

PREPARATIONS = ("preprocessor_config.json", "video_preprocessor_config.json")
FRAMES = 16  # where the configuration does not say


class HuggingFaceClassifier(NetworkFile[nn.Module]):
    """A folder of `*ForVideoClassification`; its classes are named by `id2label`, whatever their order.

    Args:
        path: the folder: `config.json`, weights and `preprocessor_config.json`.
        get: the command that gets it.
    """

    def open(self) -> nn.Module:
        """The model, in eval mode; weights are read as tensors only, and none may be missing.

        The names of classes and the preparation of frames are read too, which lie in files of their own.
        """
        from transformers import AutoModelForVideoClassification

        _ = self.labels, self._preparation
        self._check_own_code()
        try:
            model, told = AutoModelForVideoClassification.from_pretrained(
                str(self.path),
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,
            )
        except Exception as error:  # the library raises of every kind
            reason = first_line(error)
            raise VmcError(f"the video classifier {self.path} does not load ({reason}); get it again") from error
        if missing := sorted(told["missing_keys"]):
            raise VmcError(
                f"the video classifier {self.path} has no tensor {missing[0]}; it was not trained to the end"
            )
        return model.requires_grad_(False).eval().to(self.device)

    def _check_own_code(self) -> None:
        """Refuse a folder that is more than settings and weights.

        Raises:
            VmcError: it names code of its own, or a class that transformers does not have.
        """
        from transformers.models.auto.modeling_auto import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES as KNOWN

        file = self.path / "config.json"
        if "auto_map" in self._config:
            raise VmcError(f"{file} has an auto_map, which names code of its own; give a model of transformers' own")
        kinds = self._config.get("architectures") or []
        if self._config.get("model_type") not in KNOWN or not set(kinds) <= set(KNOWN.values()):
            kind = next((kind for kind in kinds if kind not in KNOWN.values()), self._config.get("model_type"))
            raise VmcError(f"{file} is of {kind}, which is no video classifier of transformers; give one of its own")

    @staticmethod
    def module(opened: nn.Module) -> nn.Module:
        """The model."""
        return opened

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names by `id2label`."""
        names = {int(place): str(name) for place, name in self._config.get("id2label", {}).items()}
        if not names or sorted(names) != list(range(len(names))):
            raise VmcError(f"{self.path / 'config.json'} has no whole id2label; write there what each class is called")
        return tuple(names[place] for place in range(len(names)))

    @torch.no_grad()
    def probabilities(self, frames_BFCHW: Tensor) -> Tensor:
        """probabilities_BK on the CPU."""
        count = int(self._config.get("num_frames") or self._config.get("frames_per_clip") or FRAMES)
        frames_BSCHW = frames_BFCHW[:, segment_indices(frames_BFCHW.shape[1], count)]
        return in_parts(self._logits, frames_BSCHW, size=VIDEOS_AT_ONCE).softmax(1)

    def describe(self) -> dict[str, Any]:
        """Folder, classes and how frames are prepared."""
        kind = (self._config.get("architectures") or ["?"])[0]
        return {"kind": kind, **super().describe(), "labels": list(self.labels), "preparation": self._preparation}

    def _logits(self, frames_BSCHW: Tensor) -> Tensor:
        batch = len(frames_BSCHW)
        pixels = self.prepare(frames_BSCHW.flatten(0, 1).to(self.device)).unflatten(0, (batch, -1))
        name = getattr(self.network, "main_input_name", "pixel_values")
        return self.network(**{name: pixels}).logits

    def prepare(self, frames_NCHW: Tensor) -> Tensor:
        """Frames as the folder's preparation file says: resized, cropped at the centre, scaled, normalised."""
        wanted = self._preparation
        images = resized_centre(frames_NCHW, short_side=wanted["short_side"], crop=wanted["crop"])
        images = images * wanted["scale"] - wanted["offset"]
        mean, deviation = (images.new_tensor(wanted[part]).view(1, 3, 1, 1) for part in ("mean", "deviation"))
        return (images - mean) / deviation

    @cached_property
    def _config(self) -> dict[str, Any]:
        return self._json("config.json")

    @cached_property
    def _preparation(self) -> dict[str, Any]:
        names = [name for name in PREPARATIONS if (self.path / name).is_file()]
        said = self._json(names[0] if names else PREPARATIONS[0])
        short_side, size = _sides(said.get("size", 224))
        crop = _sides(said["crop_size"])[1] if said.get("do_center_crop", True) and "crop_size" in said else size
        normalised = said.get("do_normalize", True)
        return {
            "short_side": short_side,
            "crop": crop,
            "scale": said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0,
            "offset": float(bool(said.get("offset", False))),
            "mean": list(said.get("image_mean", [0.5] * 3)) if normalised else [0.0] * 3,
            "deviation": list(said.get("image_std", [0.5] * 3)) if normalised else [1.0] * 3,
        }

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VmcError(f"{file} does not read ({error}); give the whole folder of a video classifier") from error


def _sides(size: int | dict[str, int]) -> tuple[int, tuple[int, int]]:
    """The short side, and height and width, of the ways in which these files give a size."""
    if isinstance(size, int):
        return size, (size, size)
    if "shortest_edge" in size:
        return size["shortest_edge"], (size["shortest_edge"],) * 2
    return min(size["height"], size["width"]), (size["height"], size["width"])
