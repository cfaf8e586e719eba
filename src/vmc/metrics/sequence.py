"""Whether a video shows the learned motion and then another gesture (paper, Sec. 4.3).

Axes: B videos, P = 2 gestures, S places to split a video at, F frames, C colors, H and W.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vmc.metrics.base import Record
from vmc.metrics.motion import SuiteAccuracy, share_and_all
from vmc.metrics.networks.classifiers import class_index
from vmc.utils.errors import VmcError

SEQUENCE = "sequence"  # name of the suite


class GestureSequence(SuiteAccuracy):
    """Columns sequence_share and sequence_all: whether the motion comes first, and then the gesture asked for.

    Both halves of a video are classified. Nobody changes from one gesture to the other exactly in the middle, so the
    video is split in the middle, an eighth earlier and an eighth later, and the best of the three counts.
    """

    name = suite = SEQUENCE
    columns = share_and_all(SEQUENCE, share="Share of two gestures", both="Both gestures, %")

    def right(self, frames_BFCHW: Tensor, records: Sequence[Record]) -> Tensor:
        """Whether the first part shows the motion, and the second the gesture asked for."""
        if unsaid := [record for record in records if record.then is None]:
            raise VmcError(
                f"the prompt '{unsaid[0].prompt}' is of the suite {SEQUENCE} and has no `then`; name a class"
            )
        frames = frames_BFCHW.shape[1]
        labels = self.known.labels
        then_B = [class_index(labels, str(one.then), setting=f"`then` of the prompt '{one.prompt}'") for one in records]
        wanted_BP = torch.tensor([[self.target, then] for then in then_B])
        found = []
        for shift in (0, -1, 1):
            cut = min(max(frames // 2 + shift * max(frames // 8, 1), 1), frames - 1)
            first_B, second_B = self.classify(frames_BFCHW[:, :cut]), self.classify(frames_BFCHW[:, cut:])
            found.append(torch.stack([first_B, second_B], dim=1) == wanted_BP)
        right_SBP = torch.stack(found)
        best_B = right_SBP.sum(2).argmax(0)
        return right_SBP[best_B, torch.arange(len(records))]
