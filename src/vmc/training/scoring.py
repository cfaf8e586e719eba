"""What a run's evaluation is made of, equally while it trains and when it is evaluated later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from vmc.data.clips import Clip, check_readable, check_token, fill
from vmc.data.frames import resize_and_crop
from vmc.data.prompts import Prompt, check_test_set
from vmc.data.video import read_frames
from vmc.errors import VmcError
from vmc.models.text import check_word_is_read
from vmc.runs.evaluation import Evaluation
from vmc.training.experiment import Experiment


def gather_clips(experiment: Experiment) -> list[Clip]:
    """A run's clips, exemplars first, their captions filled in.

    Raises:
        VmcError: a clip is missing, or an exemplar's caption lacks the token.
    """
    motion, words = experiment.motion, experiment.token.words
    exemplars = experiment.data.source.exemplars(label=motion.label, caption=motion.caption, seed=experiment.seed)
    filled = [
        [replace(clip, caption=fill(clip.caption, **words)) for clip in clips]
        for clips in (exemplars, experiment.regularization.clips())
    ]
    check_token(filled[0], words["token"])
    return [*filled[0], *filled[1]]


def check_texts(experiment: Experiment, clips: Sequence[Clip]) -> None:
    """No prompt and no caption, regularization clips' aside, may use a token's word behind what the text encoder reads.

    Raises:
        VmcError: naming the clip or the prompt, and its number of tokens.
    """
    texts = {f"the caption of clip {clip.path}": clip.caption for clip in clips if clip.role != "regularization"}
    texts |= {f"prompt {number}": prompt.text for number, prompt in enumerate(experiment.prompts, start=1)}
    check_word_is_read(experiment.model, experiment.token, texts)


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


def check_evaluation(experiment: Experiment) -> None:
    """All that would stop an evaluation is found before any training.

    Raises:
        VmcError: a network is missing or damaged, the motion's class is unknown, or the threshold of the appearance
            score cannot be held.
    """
    suite, threshold = experiment.suite, experiment.threshold
    assert suite is not None
    suite.check(target=experiment.motion.label)
    if threshold is not None:
        if not any(measure.name == "appearance" for measure in suite.measures):
            raise VmcError(
                f"stop.appearance is {threshold}, but metrics has no appearance model;"
                " give stop.appearance=null, or metrics that have one"
            )
        check_test_set(experiment.prompts)


def build_evaluation(
    experiment: Experiment,
    prompts: Sequence[Prompt],
    *,
    label: str | None,
    clips: Sequence[Clip] | None,
    made_with: Mapping[str, Any] | None = None,
    **more: Any,
) -> Evaluation:
    """A test set and the metrics of one motion.

    Args:
        experiment: its metrics, and what its videos are made with.
        prompts: the test set.
        label: the motion's class; None where the classifier has none.
        clips: those of the run, which videos are compared with; None leaves out what needs them.
        made_with: what the videos depend on besides model and prompt, where the experiment does not make them.
        more: see `vmc.runs.evaluation.Evaluation`.
    """
    suite, size = experiment.suite, experiment.data.size
    assert suite is not None
    evaluator = suite.evaluator(
        target=label,
        exemplars=None if clips is None else ClipFrames(clips, "exemplar", size),
        regularization=() if clips is None else ClipFrames(clips, "regularization", size),
        cache=experiment.cache / "descriptors",
        device=experiment.hardware.device,
    )
    if made_with is None:
        latents, fps = list(experiment.latent_shape), experiment.data.fps
        made_with = {"sampler": asdict(experiment.sampler), "latents": latents, "fps": fps}
    return Evaluation(
        prompts=prompts,
        evaluator=evaluator,
        made_with=made_with,
        threshold=experiment.threshold,
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
