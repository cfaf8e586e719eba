"""The clips of a run: finding them, filling in captions, checking that they can be read; and clips to invert."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from vmc.data.clips import Clip, NoClips, Role, check_readable, check_token, fill
from vmc.diffusion.sampling import InvertedSampler
from vmc.evaluation.generation import Sources
from vmc.models.text import check_word_is_read
from vmc.training.experiment import Experiment
from vmc.utils.errors import VmcError


def gather_clips(experiment: Experiment) -> list[Clip]:
    """Find a run's clips, exemplars first and stills of a subject last, and fill in their captions.

    Raises:
        VmcError: a clip is missing, or a caption lacks the word for what the clip teaches.
    """
    others = [*experiment.regularization.clips(), *experiment.subject.clips()]
    return _filled(experiment, [*experiment.exemplars, *others])


def _filled(experiment: Experiment, clips: Sequence[Clip]) -> list[Clip]:
    words = experiment.token.words
    filled = [replace(clip, caption=fill(clip.caption, **words)) for clip in clips]
    check_token(filled, **words)
    return filled


def find_sources(experiment: Experiment, clips: Sequence[Clip] | None = None) -> Sources | None:
    """Find the exemplars for a sampler that starts from inverted clips; None for other samplers.

    Args:
        experiment: whose videos are made.
        clips: of the run, where they are known already.

    Raises:
        VmcError: a clip is missing, there is none, or the model has no solver that inverts.
    """
    if not isinstance(experiment.sampler, InvertedSampler):
        return None
    experiment.model.process.inverse_solver()
    if isinstance(experiment.data.source, NoClips):
        raise VmcError(
            "sampler is one that inverts the clips of a run, and there is no run; give run=DIR, or"
            " sampler._target_=vmc.diffusion.sampling.Sampler"
        )
    if clips is None:
        clips = readable(_filled(experiment, experiment.exemplars), skip_bad=experiment.data.skip_bad)
    exemplars = [clip for clip in clips if clip.role == "exemplar"]
    return Sources(clips=exemplars, transform=experiment.data.transform(augmented=False, mirror=False))


def check_texts(experiment: Experiment, clips: Sequence[Clip]) -> None:
    """Check that no prompt or caption is so long that the text encoder cuts off a token's word.

    Captions of regularization clips are not checked. The VmcError names the clip or prompt, and its number of tokens.
    """
    texts = {f"the caption of clip {clip.path}": clip.caption for clip in clips if clip.role != "regularization"}
    texts |= {f"prompt {number}": prompt.text for number, prompt in enumerate(experiment.prompts, start=1)}
    check_word_is_read(experiment.model, experiment.token, texts)


def readable(clips: Sequence[Clip], *, skip_bad: bool) -> list[Clip]:
    """Keep the clips that can be read, exemplars first and stills of a subject last.

    Raises:
        VmcError: one cannot be read, or with `skip_bad` none of a role.
    """
    parts = ([clip for clip in clips if clip.role == role] for role in get_args(Role))
    return [clip for part in parts if part for clip in check_readable(part, skip_bad=skip_bad)]
