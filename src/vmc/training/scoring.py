"""What a run's evaluation is made of, equally while it trains and when it is evaluated later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmc.data.clips import Clip, check_readable, check_token, fill
from vmc.data.frames import resize_and_crop
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt, check_test_set
from vmc.data.video import read_frames
from vmc.diffusion.sampling import Sampler
from vmc.errors import VmcError
from vmc.metrics.suite import Suite
from vmc.models.base import VideoModel
from vmc.models.text import check_word_is_read
from vmc.models.token import MotionToken
from vmc.runs.evaluation import Evaluation
from vmc.training.regularization import RegularizationSource


def gather_clips(
    *,
    data: MotionData,
    motion: Motion,
    token: MotionToken,
    regularization: RegularizationSource,
    seed: int,
) -> list[Clip]:
    """A run's clips, exemplars first, their captions filled in.

    Raises:
        VmcError: a clip is missing, or an exemplar's caption lacks the token.
    """
    exemplars = data.source.exemplars(label=motion.label, caption=motion.caption, seed=seed)
    filled = [
        [replace(clip, caption=fill(clip.caption, token=token.word)) for clip in clips]
        for clips in (exemplars, regularization.clips())
    ]
    check_token(filled[0], token.word)
    return [*filled[0], *filled[1]]


def check_texts(base: VideoModel, token: MotionToken, clips: Sequence[Clip], prompts: Sequence[Prompt]) -> None:
    """No caption of an exemplar and no prompt may name the motion where the text encoder no longer reads.

    Raises:
        VmcError: naming the clip or the prompt, and its number of tokens.
    """
    captions = {f"the caption of clip {clip.path}": clip.caption for clip in clips if clip.role == "exemplar"}
    check_word_is_read(base, token, captions | {f"prompt {n}": p.text for n, p in enumerate(prompts, start=1)})


def readable(clips: Sequence[Clip], *, skip_bad: bool) -> tuple[list[Clip], int]:
    """The clips that can be read, exemplars first, and the number of exemplars.

    Raises:
        VmcError: one cannot be read, or with `skip_bad` none of a role.
    """
    kept = [
        check_readable(part, skip_bad=skip_bad) if part else []
        for part in ([clip for clip in clips if clip.role == role] for role in ("exemplar", "regularization"))
    ]
    return [*kept[0], *kept[1]], len(kept[0])


def check_evaluation(suite: Suite, prompts: Sequence[Prompt], *, target: str | None, threshold: float | None) -> None:
    """All that would stop an evaluation is found before any training.

    Raises:
        VmcError: a network is missing or damaged, the motion's class is unknown, or the threshold of the appearance
            score cannot be held.
    """
    suite.check(target=target)
    if threshold is not None:
        if suite.appearance is None:
            raise VmcError(
                f"stop.appearance is {threshold}, but metrics has no appearance model;"
                " give stop.appearance=null, or metrics that have one"
            )
        check_test_set(prompts)


def made_with(sampler: Sampler, latent_shape: Sequence[int], fps: float) -> dict[str, Any]:
    """What generated videos depend on besides model and prompt, for an evaluation's protocol."""
    return {"sampler": asdict(sampler), "latents": list(latent_shape), "fps": fps}


def build_evaluation(
    *,
    suite: Suite,
    prompts: Sequence[Prompt],
    label: str | None,
    clips: Sequence[Clip] | None,
    size: int,
    made_with: Mapping[str, Any],
    cache: Path,
    threshold: float | None = None,
    device: torch.device | str = "cpu",
    **more: Any,
) -> Evaluation:
    """The test set and the metrics of one motion.

    Args:
        suite: the metrics.
        prompts: the test set.
        label: the motion's class; None where the classifier has none.
        clips: those of the run, which videos are compared with; None leaves the copy scores out.
        size: px, the training crop.
        made_with: see `made_with`.
        cache: of the descriptors of clips.
        threshold: of the appearance score.
        device: of the metrics' networks.
        more: see `vmc.runs.evaluation.Evaluation`.
    """
    evaluator = suite.evaluator(
        target=label,
        exemplars=None if clips is None else _frames(clips, "exemplar", size),
        regularization=() if clips is None else _frames(clips, "regularization", size),
        cache=cache / "descriptors",
        device=device,
    )
    return Evaluation(
        prompts=prompts,
        evaluator=evaluator,
        made_with=made_with,
        copy_threshold=suite.copy_threshold,
        threshold=threshold,
        **more,
    )


def _frames(clips: Sequence[Clip], role: str, size: int) -> Iterator[tuple[str, Tensor]]:
    """Names and frames_FCHW of clips for the copy score: all frames, at the training crop, not augmented."""
    for clip in clips:
        if clip.role == role:
            yield clip.path.name, resize_and_crop(read_frames(clip.path), size)
