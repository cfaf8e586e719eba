"""How well the appearance model tells the test set's subjects apart, on persons it has never seen.

Axes: S subjects, G gestures, F frames, H and W pixels, C = 3 colours, D features.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional as F

from vmc.mini.makers.appearance.frames import SIZE, after_autoencoder, pixels_of
from vmc.mini.makers.appearance.network import encode_texts, normalized, tokenizer
from vmc.mini.world.captions import gesture_caption
from vmc.mini.world.gestures import LABELS
from vmc.mini.world.phrases import person_from_phrase
from vmc.mini.world.renderer import ClipSpec, render
from vmc.mini.world.test_set import TEST_SET
from vmc.mini.world.vocabulary import PLACES
from vmc.tools.learning.shards import Array
from vmc.utils.randomness import derive_seed

FIRST = 900
"""Persons of a phrase from this number on are measured; those below are left to the card, none is trained on."""
FRAMES = 8


@cache
def subjects() -> tuple[str, ...]:
    """The phrases of the test set."""
    with TEST_SET.open(newline="", encoding="utf-8") as stream:
        return tuple(row["subject"] for row in csv.DictReader(stream))


def spec_of_subject(index: int, number: int = FIRST) -> ClipSpec:
    """A clip of subject `index`: gestures, places and both framings in turn."""
    return ClipSpec(
        persons=(person_from_phrase(subjects()[index], number),),
        gestures=(LABELS[(7 * index + number) % len(LABELS)],),
        place=PLACES[(3 * index + number) % len(PLACES)],
        framing="webcam" if (index + number) % 2 else "web",
        frames=16,
        seed=derive_seed("appearance", "measured", index, number),
    )


@dataclass(frozen=True)
class Measured:
    """frames_SFHWC of all subjects and the gestures they do."""

    frames_SFHWC: Array
    gestures: tuple[str, ...]

    def after(self, pipeline: Path) -> "Measured":
        """The same after the autoencoder."""
        flat = self.frames_SFHWC.reshape(-1, SIZE, SIZE, 3)
        return Measured(after_autoencoder(flat, pipeline).reshape(self.frames_SFHWC.shape), self.gestures)


def render_subjects(number: int = FIRST) -> Measured:
    """`FRAMES` frames of every subject, evenly spaced."""
    specs = [spec_of_subject(index, number) for index in range(len(subjects()))]
    frames_SFHWC = np.stack([render(spec, SIZE)[:: spec.frames // FRAMES] for spec in specs])
    return Measured(frames_SFHWC, tuple(spec.gestures[0] for spec in specs))


@torch.no_grad()
def figures(model: CLIP, measured: Measured) -> dict[str, float]:
    """What the model tells, in eval mode.

    subject_top1          frames whose own subject is nearest among all
    subject_top1_videos   the same for the mean cosine over a clip's frames
    appearance            mean cosine of a frame and its own subject's phrase; `others`, of the other subjects' phrases
    gesture_top1          clips whose own gesture is nearest of all, said of their own subject
    text_alignment        mean cosine with the subject's phrase and gesture
    """
    images_SFD = _image_features(model, measured.frames_SFHWC)
    cosine_SFS = images_SFD @ _text_features(model, subjects()).T
    count = len(cosine_SFS)
    own_S = torch.arange(count)
    own_SF = cosine_SFS[own_S, :, own_S]
    captions = [gesture_caption(name, subject.lower()) for subject in subjects() for name in LABELS]
    texts_SGD = _text_features(model, captions).unflatten(0, (count, len(LABELS)))
    cosine_SG = torch.einsum("sfd,sgd->sfg", images_SFD, texts_SGD).mean(1)
    done_S = torch.tensor([LABELS.index(name) for name in measured.gestures])
    found = {
        "subject_top1": (cosine_SFS.argmax(2) == own_S[:, None]).float().mean(),
        "subject_top1_videos": (cosine_SFS.mean(1).argmax(1) == own_S).float().mean(),
        "appearance": own_SF.mean(),
        "others": (cosine_SFS.sum(2) - own_SF).mean() / (count - 1),
        "gesture_top1": (cosine_SG.argmax(1) == done_S).float().mean(),
        "text_alignment": cosine_SG[own_S, done_S].mean(),
    }
    return {name: float(value) for name, value in found.items()}


def _image_features(model: CLIP, frames_SFHWC: Array) -> Tensor:
    flat_NHWC = frames_SFHWC.reshape(-1, *frames_SFHWC.shape[2:])
    parts = normalized(pixels_of(flat_NHWC)).split(200)
    device = model.logit_scale.device
    features_ND = torch.cat([model.encode_image(part.to(device), normalize=True).cpu() for part in parts])
    return features_ND.unflatten(0, frames_SFHWC.shape[:2])


def _text_features(model: CLIP, texts: Sequence[str]) -> Tensor:
    parts = tokenizer()(list(texts)).split(300)
    device = model.logit_scale.device
    return F.normalize(torch.cat([encode_texts(model, part.to(device)).cpu() for part in parts]), dim=-1)
