"""Figure 6 as a table and a picture: motion and subject together against each alone.

python experiments/figure6_motion_and_subject/compare.py motion=DIR subject=DIR both=DIR [more=DIR ...] output=FOLDER

Each DIR is an evaluation with `+metric=subject_similarity`, all of the same places and seeds. What is kept is the ratio
of the means, with a bootstrap over places by the same draws for both (`vmc.metrics.statistics.resample`).
"""

import json
import sys
from pathlib import Path

import numpy as np

from vmc.data.subject_images import Stills
from vmc.data.video import read_frames
from vmc.metrics.columns import measures_of
from vmc.metrics.scores import columns_of, read_scores, values_of_run
from vmc.metrics.statistics import RESAMPLES, TAIL, Run, intervals_of_run, resample
from vmc.mini.world.stills import default_folder
from vmc.reporting.figures.common import enlarge, figure_style, save_figure
from vmc.reporting.figures.strips import Strip, draw_strips

ACCURACY, SIMILARITY, CLIP = "motion_accuracy", "subject_similarity", "subject_similarity_clip"
MEASURES = (ACCURACY, SIMILARITY, CLIP, "appearance")
HEADS = ("Motion accuracy, %", "Subject similarity", "the same by CLIP", "Appearance")
SHOWN = (0, 3, 8)  # places of the test set that the picture shows, each with its first seed


class Scored:
    """An evaluation's table, and its values by place."""

    def __init__(self, folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        columns = columns_of(summary)
        self.folder, self.scores = folder, read_scores(folder / "scores.csv", columns=columns)
        self.intervals = intervals_of_run(self.scores, columns=columns)
        self.run = Run(
            motion="", seed=0, values=values_of_run(self.scores, columns=columns), measures=measures_of(columns)
        )

    def draws(self, metric: str) -> tuple[float, np.ndarray]:
        """The value, and that of every resample."""
        drawn = resample([self.run], metrics=[metric], resamples=RESAMPLES)
        return float(drawn.value_V[0]), drawn.draws_RV[:, 0]


def kept(both: Scored, alone: Scored, metric: str) -> str:
    """The ratio of two arms' values in percent, with its interval."""
    (one, one_R), (other, other_R) = both.draws(metric), alone.draws(metric)
    low, high = np.nanquantile(one_R / np.where(other_R == 0, np.nan, other_R), [TAIL, 1 - TAIL])
    return f"{100 * one / other:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def table(arms: dict[str, Scored]) -> str:
    """A row an arm, and what those with both keep."""
    lines = [f"| | {' | '.join(HEADS)} | accuracy kept, % | similarity kept, % |", "|---|---|---|---|---|---|---|"]
    for name, arm in arms.items():
        cells = []
        for metric in MEASURES:
            one, scale, digits = arm.intervals[metric], *((100, 1) if metric == ACCURACY else (1, 3))
            low, high = (f"{scale * end:.{digits}f}" for end in (one.low, one.high))
            cells.append(f"{scale * one.value:.{digits}f} ({low} to {high})")
        ratios = ["", ""]
        if name not in ("motion", "subject"):
            ratios = [kept(arm, arms["motion"], ACCURACY), kept(arm, arms["subject"], SIMILARITY)]
        lines.append(f"| {name} | {' | '.join([*cells, *ratios])} |")
    return "\n".join(lines)


def strips(arms: dict[str, Scored]) -> list[Strip]:
    """The stills, then a strip of each arm for each place that is shown."""
    stills = [frames[0] for _, frames in Stills(path=default_folder(), size=64)]
    shown = [
        Strip(
            name="the stills",
            detail="in no caption, hands at rest",
            frames_FHWC=np.concatenate([enlarge(still[None]) for still in stills]),
        )
    ]
    places = list(dict.fromkeys(arms["both"].scores["subject"]))
    for place in (places[number] for number in SHOWN if number < len(places)):
        for name, arm in arms.items():
            row = arm.scores[arm.scores["subject"] == place].iloc[0]
            verdict = (str(row["predicted"]), bool(row["motion_correct"]))
            frames = enlarge(read_frames(arm.folder / "videos" / row["video"]))
            detail = f"similarity {row[SIMILARITY]:.2f}; {place.lower()}"
            shown.append(Strip(name=name, detail=detail, verdict=verdict, frames_FHWC=frames))
    return shown


def main() -> None:
    """Print the table and write the picture."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    output = Path(given.pop("output", "."))
    arms = {name: Scored(Path(folder)) for name, folder in given.items()}
    text = table(arms)
    print(text)
    (output / "results").mkdir(parents=True, exist_ok=True)
    (output / "results" / "table.md").write_text(text + "\n", encoding="utf-8")
    with figure_style():
        figure = draw_strips(strips(arms), title="“A pll man doing the sks sign …”, one seed of each place")
        save_figure(figure, output, "figure6")


if __name__ == "__main__":
    main()
