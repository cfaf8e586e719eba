"""One value a metric, out of the rows of all videos."""

from collections.abc import Sequence

import pandas as pd

from vmc.metrics.evaluator import Row
from vmc.metrics.values import COLUMNS, COPY_THRESHOLD, values_of_run


def summarise(scores: pd.DataFrame | Sequence[Row], *, threshold: float = COPY_THRESHOLD) -> dict[str, float | None]:
    """The mean of each metric over the videos that have a value; None where no video has one.

    An invalid video is a no for motion_accuracy. In the rest it has no value, the copy scores included: a broken video
    that counted as not copied would make a model look better for breaking down.

    Args:
        scores: of `Evaluator.rows` or `read_scores`.
        threshold: of the copy similarity, for copy_score_any; `copied` was decided when the video was scored.
    """
    values = values_of_run(pd.DataFrame(scores), copy_threshold=threshold)
    return {name: float(values[name].mean()) if name in values.columns else None for name in COLUMNS}
