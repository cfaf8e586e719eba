"""What a run's evaluation is made of, equally while it trains and when it is evaluated later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vmc.data.clips import Clip, check_readable, check_token, fill
from vmc.data.frames import resize_and_crop
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt, check_test_set
from vmc.data.video import read_frames
from vmc.diffusion.components import BaseModel
from vmc.diffusion.sampling import Sampler
from vmc.diffusion.text import check_word_is_read
from vmc.diffusion.token import MotionToken
from vmc.errors import VmcError
from vmc.metrics.suite import Suite
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


def check_texts(base: BaseModel, token: MotionToken, clips: Sequence[Clip], prompts: Sequence[Prompt]) -> None:
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
        if not any(measure.name == "appearance" for measure in suite.measures):
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
        clips: those of the run, which videos are compared with; None leaves out what needs them.
        size: px, the training crop.
        made_with: see `made_with`.
        cache: of what metrics make of clips.
        threshold: of the appearance score.
        device: of the metrics' networks.
        more: see `vmc.runs.evaluation.Evaluation`.
    """
    evaluator = suite.evaluator(
        target=label,
        exemplars=None if clips is None else ClipFrames(clips, "exemplar", size),
        regularization=() if clips is None else ClipFrames(clips, "regularization", size),
        cache=cache / "descriptors",
        device=device,
    )
    return Evaluation(
        prompts=prompts,
        evaluator=evaluator,
        made_with=made_with,
        threshold=threshold,
        **more,
    )


@dataclass(frozen=True)
class ClipFrames:
    """Names and frames_FCHW of a run's clips, as metrics compare videos with them: whole, at the training crop, not
    augmented. Each is read anew whenever it is its turn.

    Args:
        clips: of the run.
        role: of those that are meant.
        size: px, the training crop.
    """

    clips: Sequence[Clip]
    role: str
    size: int

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for clip in self.clips:
            if clip.role == self.role:
                yield clip.path.name, resize_and_crop(read_frames(clip.path), self.size)
