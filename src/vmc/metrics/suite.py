"""The metrics of a config group, by name."""

from pathlib import Path
from typing import Any

import torch

from vmc.errors import VmcError
from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric, NamedClips, RunContext
from vmc.metrics.classifiers import TRNClassifier, TSMClassifier
from vmc.metrics.columns import Measure, check_apart, measures_of
from vmc.metrics.copying import COPY_THRESHOLD, Copying
from vmc.metrics.declared import BASE
from vmc.metrics.evaluator import Evaluator
from vmc.metrics.hf_classifier import HuggingFaceClassifier
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks import CopyNetwork, ImageTextNetwork
from vmc.metrics.quality import Quality


class Suite:
    """A list of metrics in YAML: under each name a metric, or null for none, which leaves its columns empty.

    Three of them are written as the network that they measure with. Network files are opened once: by `check`, or when
    the first video is scored.

    Args:
        classifier: of gestures, for `MotionAccuracy`.
        appearance: of images and texts, for `Appearance`.
        copying: descriptor of images, for `Copying`.
        copy_threshold: similarity above which a video counts as copied.
        metrics: all others; `quality` is there unless it is None.

    Raises:
        VmcError: something is no metric, or two metrics have a name, a column or a measure in common.
    """

    def __init__(
        self,
        *,
        classifier: TRNClassifier | TSMClassifier | HuggingFaceClassifier | None = None,
        appearance: ImageTextNetwork | None = None,
        copying: CopyNetwork | None = None,
        copy_threshold: float = COPY_THRESHOLD,
        **metrics: Metric | None,
    ) -> None:
        if not -1 <= copy_threshold <= 1:
            raise VmcError(f"metrics.copy_threshold is {copy_threshold}; a similarity lies between -1 and 1")
        chosen: dict[str, Any] = {"quality": Quality()}
        if classifier is not None:
            chosen["classifier"] = MotionAccuracy(classifier=classifier)
        if appearance is not None:
            chosen["appearance"] = Appearance(model=appearance)
        if copying is not None:
            chosen["copying"] = Copying(descriptor=copying, threshold=copy_threshold)
        chosen |= metrics
        self.metrics: dict[str, Metric] = {name: metric for name, metric in chosen.items() if metric is not None}
        self._check_apart()

    def _check_apart(self) -> None:
        names: dict[str, str] = {}
        for place, metric in self.metrics.items():
            if not isinstance(metric, Metric):
                raise VmcError(f"metrics.{place} is {metric}, which is no metric; give one as _target_, or null")
            if not isinstance(metric.columns, tuple):
                raise VmcError(f"metrics.{place} has {metric.columns} as columns; give a tuple of declarations")
            if other := names.get(metric.name):
                raise VmcError(f"metrics.{other} and metrics.{place} are both the metric {metric.name}; take one out")
            names[metric.name] = place
        declared = [(f"metrics.{place}", column) for place, one in self.metrics.items() for column in one.columns]
        check_apart([*(("every table", column) for column in BASE), *declared])

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the metrics say of a run."""
        return measures_of(column for metric in self.metrics.values() for column in metric.columns)

    def missing_files(self) -> list[str]:
        """Each file that is not there, with the command that gets it."""
        return [missing for metric in self.metrics.values() for missing in metric.missing()]

    def check(self, *, target: str | None = None) -> None:
        """To be called before anything that takes long. The networks are opened, and stay open for use.

        Args:
            target: name of the motion's class; None for a motion without one.

        Raises:
            VmcError: naming all missing files, else the first that is not what it should be; an unknown class.
        """
        if missing := self.missing_files():
            files = "a file that is" if len(missing) == 1 else f"{len(missing)} files that are"
            raise VmcError(f"the metrics need {files} not there: {'; '.join(missing)}")
        for metric in self.metrics.values():
            metric.check(target=target)

    def evaluator(
        self,
        *,
        target: str | None,
        exemplars: NamedClips | None,
        regularization: NamedClips = (),
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> Evaluator:
        """The metrics of one motion; those that need clips read them.

        Args:
            target: name of the motion's class; None for a motion without one.
            exemplars: names and frames, at the training crop, all frames, not augmented; None where there are none to
                compare with (a folder of videos made by anything else), which leaves what needs them empty.
            regularization: likewise.
            cache: folder for what is made of the clips; None keeps nothing.
            device: where the networks run.

        Raises:
            VmcError: a missing file, one that does not fit, an unknown class, or clips without frames.
        """
        self.check()
        run = RunContext(target=target, exemplars=exemplars, regularization=regularization, cache=cache, device=device)
        begun = [metric.begin(run) for metric in self.metrics.values()]
        return Evaluator([metric for metric in begun if metric is not None])
