"""Videos of evaluations as a picture: strips of frames with what was asked for and what the classifier sees.

python experiments/strips.py NAME=DIR [NAME=DIR ...] output=FILE.png ["title=..."] [count=8]

Each DIR is an evaluation, all of the same prompts and seeds. Of each prompt suite one prompt is shown, without suites
so many prompts, evenly spaced; always their first seed.
"""

import sys
from pathlib import Path

import pandas as pd

from vmc.data.video import read_frames
from vmc.metrics.scores import read_scores
from vmc.reporting.figures.common import enlarge, figure_style, save_figure
from vmc.reporting.figures.strips import Strip, draw_strips


def chosen(scores: pd.DataFrame, count: int) -> list[str]:
    """Names of the videos that are shown."""
    firsts = scores.drop_duplicates("prompt")
    if "suite" in firsts:
        return [str(of["video"].iloc[len(of) // 6]) for _, of in firsts.groupby("suite", sort=False)]
    return [str(firsts["video"].iloc[number * len(firsts) // count]) for number in range(min(count, len(firsts)))]


def main() -> None:
    """Write the picture."""
    given = dict(word.rsplit("=", 1) for word in sys.argv[1:])
    output, title, count = Path(given.pop("output")), given.pop("title", ""), int(given.pop("count", 8))
    tables = {name: read_scores(Path(folder) / "scores.csv") for name, folder in given.items()}
    strips = []
    for video in chosen(next(iter(tables.values())), count):
        for name, table in tables.items():
            row = table[table["video"] == video].iloc[0]
            strips.append(
                Strip(
                    name=name,
                    detail=row["prompt"],
                    verdict=(str(row["predicted"]), bool(row["motion_correct"])),
                    frames_FHWC=enlarge(read_frames(Path(given[name]) / "videos" / video)),
                )
            )
    with figure_style():
        save_figure(draw_strips(strips, title=title), output.parent, output.stem)
    output.with_suffix(".svg").unlink()  # pictures of frames


if __name__ == "__main__":
    main()
