"""The metrics of a config group: which networks measure motion, appearance and copying."""

from pathlib import Path

import torch

from vmc.errors import VmcError
from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Metric
from vmc.metrics.classifiers import TRNClassifier, TSMClassifier, class_index
from vmc.metrics.copying import Copying, NamedClips
from vmc.metrics.evaluator import Evaluator
from vmc.metrics.hf_classifier import HuggingFaceClassifier
from vmc.metrics.motion import MotionAccuracy
from vmc.metrics.networks import CopyNetwork, ImageTextNetwork
from vmc.metrics.quality import Quality
from vmc.metrics.values import COPY_THRESHOLD


class Suite:
    """Network files, each opened once: by `check`, or when the first video is scored.

    A part that is None leaves its columns empty.

    Args:
        classifier: of gestures.
        appearance: of images and texts.
        copying: descriptor of images.
        copy_threshold: similarity above which a video counts as copied.
    """

    def __init__(
        self,
        *,
        classifier: TRNClassifier | TSMClassifier | HuggingFaceClassifier | None,
        appearance: ImageTextNetwork | None,
        copying: CopyNetwork | None,
        copy_threshold: float = COPY_THRESHOLD,
    ) -> None:
        if not -1 <= copy_threshold <= 1:
            raise VmcError(f"metrics.copy_threshold is {copy_threshold}; a similarity lies between -1 and 1")
        self.classifier, self.appearance, self.copying = classifier, appearance, copying
        self.copy_threshold = copy_threshold

    def missing_files(self) -> list[str]:
        """Each file that is not there, with the command that gets it."""
        parts = (self.classifier, self.appearance, self.copying)
        return [missing for part in parts if part is not None and (missing := part.missing())]

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
        for part in (self.classifier, self.appearance, self.copying):
            if part is not None:
                part.check()
        if self.classifier is not None and target is not None:
            class_index(self.classifier.labels, target)

    def evaluator(
        self,
        *,
        target: str | None,
        exemplars: NamedClips | None,
        regularization: NamedClips = (),
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> Evaluator:
        """The metrics of one motion. Reads the clips and describes them; their descriptors are cached.

        Args:
            target: name of the motion's class; None for a motion without one.
            exemplars: names and frames, at the training crop, all frames, not augmented; None where there are none to
                compare with (a folder of videos made by anything else), which leaves the copying columns empty.
            regularization: likewise.
            cache: folder for the descriptors; None keeps none.
            device: where the networks run.

        Raises:
            VmcError: a missing file, one that does not fit, an unknown class, or clips without frames.
        """
        self.check()
        metrics: list[Metric] = [Quality()]
        for part in (self.classifier, self.appearance, self.copying):
            if part is not None:
                part.to(device)
        if self.classifier is not None:
            metrics.append(MotionAccuracy(classifier=self.classifier, target=target))
        if self.appearance is not None:
            metrics.append(Appearance(model=self.appearance))
        if self.copying is not None and exemplars is not None:
            copying = Copying(
                descriptor=self.copying,
                exemplars=exemplars,
                regularization=regularization,
                threshold=self.copy_threshold,
                cache=cache,
            )
            metrics.append(copying)
        return Evaluator(metrics)
