"""What the classifier and the appearance model make of rendered clips of persons that no training used.

Axes: N clips, F frames, C colours, H and W, D features, S subjects, G gestures.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor
from tqdm import tqdm

from vmc.data.frames import even_times, window
from vmc.mini.card.bars import CardPlan
from vmc.mini.card.intervals import Figure, mean, share_of_clips
from vmc.mini.card.networks import Networks, RoundTrip, in_batches
from vmc.mini.world.captions import gesture_caption
from vmc.mini.world.gestures import LABELS
from vmc.mini.world.jester_folder import CLIP_FRAMES
from vmc.mini.world.people import Pool
from vmc.mini.world.people import generator as numpy_generator
from vmc.mini.world.phrases import person_from_phrase
from vmc.mini.world.renderer import FPS, ClipSpec, render
from vmc.mini.world.specs import sample_clip
from vmc.mini.world.test_set import subjects as test_subjects
from vmc.mini.world.vocabulary import PLACES
from vmc.utils.randomness import derive_seed, generator

BACKWARDS = (
    *({f"{gesture} Left", f"{gesture} Right"} for gesture in ("Swiping", "Sliding Two Fingers")),
    *({f"{gesture} Up", f"{gesture} Down"} for gesture in ("Swiping", "Sliding Two Fingers")),
    *({f"Pulling {hand} In", f"Pushing {hand} Away"} for hand in ("Hand", "Two Fingers")),
    *({f"Zooming In With {hand}", f"Zooming Out With {hand}"} for hand in ("Full Hand", "Two Fingers")),
    {"Rolling Hand Forward", "Rolling Hand Backward"},
    {"Turning Hand Clockwise", "Turning Hand Counterclockwise"},
)
"""Pairs of gestures of which one is the other's mirror image or its path reversed: a mean over frames may not tell."""
NOISE = 2.0
"""Largest deviation of a webcam's noise, as `sample_clip` draws it."""


@cache
def subjects() -> tuple[str, ...]:
    """The phrases of the test set."""
    return tuple(test_subjects())


def spec_of(number: int, gesture: str, *, pool: Pool = "card") -> ClipSpec:
    """Clip `number` of the card's persons, or of another pool's, as a webcam films them."""
    return sample_clip(pool, number, gestures=(gesture,), framing="webcam", frames=CLIP_FRAMES)


def spec_of_subject(phrase: str, index: int, number: int) -> ClipSpec:
    """Clip `number` of a test subject: any gesture and place, framed as a webcam's and as the web's in turn."""
    random = numpy_generator("card", "subject", index, number)
    webcam = (index + number) % 2 == 0
    return ClipSpec(
        persons=(person_from_phrase(phrase, number),),
        gestures=(LABELS[int(random.integers(len(LABELS)))],),
        place=PLACES[int(random.integers(len(PLACES)))],
        framing="webcam" if webcam else "web",
        frames=int(random.integers(CLIP_FRAMES[0], CLIP_FRAMES[1] + 1)),
        noise=float(random.uniform(0.0, NOISE)) if webcam else 0.0,
        seed=derive_seed("mini", "card", "subject", index, number),
    )


def window_of(spec: ClipSpec, networks: Networks) -> Tensor:
    """frames_FCHW of a clip, chosen as the customisation's data chooses them; the draw is the clip's own."""
    base = networks.base
    frames_FHWC = render(spec, base.size)
    draw = generator("card", spec.seed, "window")
    times = even_times(len(frames_FHWC), FPS)
    chosen = window(times, frames=base.frames, fps=base.fps, start="random", generator=draw)
    return torch.from_numpy(frames_FHWC[list(chosen.indices)]).permute(0, 3, 1, 2).contiguous()


def classifier_figures(networks: Networks, trip: RoundTrip, plan: CardPlan) -> dict[str, Figure]:
    """`classifier_accuracy` and `classifier_accuracy_vae`, of the same windows."""
    labels = [LABELS[number % len(LABELS)] for number in range(plan.clips)]
    specs = [spec_of(number, label) for number, label in enumerate(labels)]
    sharp, soft = list[str](), list[str]()
    for batch in in_batches(tqdm(specs, desc="classifier", unit="clip", disable=None, leave=False)):
        windows = [window_of(spec, networks) for spec in batch]
        sharp += networks.gestures(torch.stack(windows))
        soft += networks.gestures(torch.stack([trip(frames_FCHW) for frames_FCHW in windows]))
    return {
        "classifier_accuracy": share_of_clips([one == other for one, other in zip(sharp, labels, strict=True)]),
        "classifier_accuracy_vae": share_of_clips([one == other for one, other in zip(soft, labels, strict=True)]),
    }


def subject_figures(networks: Networks, plan: CardPlan) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """`clip_top1_rendered` and `clip_gesture_top1`, and `clip_gesture_unordered`, of the same clips; a subject's clips
    are one cluster.
    """
    own, gestures, unordered, names = list[bool](), list[bool](), list[bool](), list[str]()
    for index, spec, features_D in _described(networks, plan):
        phrase = subjects()[index]
        own.append(int((networks.texts(subjects()) @ features_D).argmax()) == index)
        captions = [gesture_caption(label, phrase) for label in LABELS]
        seen, shown = LABELS[int((networks.texts(captions) @ features_D).argmax())], spec.gestures[0]
        gestures.append(seen == shown)
        unordered.append(seen == shown or {seen, shown} in BACKWARDS)
        names.append(phrase)
    figures = {"clip_top1_rendered": own, "clip_gesture_top1": gestures, "clip_gesture_unordered": unordered}
    found = {name: mean(right, names, share=True) for name, right in figures.items()}
    return found, {"clip_gesture_unordered": found.pop("clip_gesture_unordered")}


def _described(networks: Networks, plan: CardPlan) -> Iterator[tuple[int, ClipSpec, Tensor]]:
    """Number of the subject, clip and features_D of its window."""
    clips = [
        (index, spec_of_subject(subjects()[index], index, number))
        for index in evenly_spaced(len(subjects()), plan.subjects)
        for number in range(plan.subject_clips)
    ]
    for batch in in_batches(tqdm(clips, desc="subjects", unit="clip", disable=None, leave=False)):
        features_ND = networks.features(torch.stack([window_of(spec, networks) for _, spec in batch]))
        for (index, spec), features_D in zip(batch, features_ND, strict=True):
            yield index, spec, features_D


def evenly_spaced(total: int, count: int) -> Sequence[int]:
    """`count` places of `total`, all where there are no more."""
    count = min(total, count)
    return [place * total // count for place in range(count)]
