"""Fig. 3: frame strips of one prompt and seed, every arm at the matched appearance.

Axes: F frames, H and W, C colours.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vmc.data.video import count_frames, read_frames
from vmc.reporting.figures import common
from vmc.reporting.figures.common import MUTED, PLATE, Drawn, enlarge, group_arms, shorten
from vmc.reporting.loaded_runs import Scored
from vmc.reporting.report import Report
from vmc.reporting.results import MatchedRun, Result
from vmc.reporting.table_arms import METHOD, NOT_REACHED, arm_name, arm_order
from vmc.utils.errors import VmcError

log = logging.getLogger(__name__)

SHOWN_FRAMES = 8
GAP = 4  # px between frames
PREFERRED = ("sliding_two_fingers_up", "female firefighter", "firefighter")
"""The motion and the subject of the paper's Fig. 3, and the nearest to it."""


class Video(NamedTuple):
    """Which video is shown: motion and training seed of the runs, prompt and seed of the video."""

    place: tuple[str, int]
    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One video as a row of frames."""

    name: str
    detail: str = ""
    verdict: tuple[str, bool] | None = None  # what the classifier says, and whether it is right
    frames_FHWC: np.ndarray | None = None
    missing: str = ""  # what is said in place of frames


def figure3(
    report: Report, *, motion: str | None = None, subject: str | None = None, seed: int | None = None
) -> Iterator[Drawn]:
    """Draw frame strips of one prompt, a row for each arm.

    Args:
        report: what is drawn.
        motion, subject, seed: which video they show; None takes the paper's where there is one, else the first.

    Raises:
        VmcError: no run has that motion, or its test set no such subject or seed.
    """
    known = sorted({one.run.motion for result in report.results.values() for one in result.matched})
    if motion is not None and known and motion not in known:
        raise VmcError(f"figure3.motion is {motion}, of which there is no evaluated run; there are: {', '.join(known)}")
    for end, arms in group_arms(report.results, together=0).items():
        results = {arm: report.results[arm] for arm in arms}
        if motion is not None and not any(one.run.motion == motion for one in _matched(results)):
            log.warning("figure3%s is left out: none of its arms has an evaluated run of %s", end, motion)
        if chosen := choose(results, motion=motion, subject=subject, seed=seed):
            title = f"“{chosen.prompt}”, seed {chosen.seed}"
            place = f"{chosen.place[0]}, training seed {chosen.place[1]}"
            figure = draw_strips(strips(results, chosen), title=f"{title}: {place}")
            about = f"{title}; motion {place}. {common.describe_evaluations([*results.values()])}"
            yield Drawn(figure=figure, caption=f"Figure 3{common.part_suffix(end)}: {about}", end=end)


def choose(
    results: Mapping[str, Result], *, motion: str | None = None, subject: str | None = None, seed: int | None = None
) -> Video | None:
    """Choose a motion and training seed, and a prompt of its test set; None where no run has that motion.

    Of the paper's motion where a run has it, else of any, that which most arms have. A VmcError where the test set has
    no such subject or seed.
    """
    runs = [one for one in _matched(results) if motion in (None, one.run.motion)]
    if not runs:
        return None
    counts = Counter(one.run.place for one in runs)
    place = min(counts, key=lambda place: (place[0] != PREFERRED[0], -counts[place], place))
    scored = min((one for one in runs if one.run.place == place), key=lambda one: arm_order(one.run.arm)).scored
    named = [(str(row["subject"] or row["prompt"]).lower(), row) for row in scored.rows]
    likely = (next((name for name, _ in named if part in name), None) for part in (*PREFERRED[1:], ""))
    wanted = next(filter(None, likely)) if subject is None else subject.lower()
    if not (rows := [row for name, row in named if name == wanted]):
        raise VmcError(f"figure3.subject is '{subject}', which {scored.folder} does not have; name one of its subjects")
    if not (rows := [row for row in rows if seed in (None, row["seed"])]):
        raise VmcError(f"figure3.seed is {seed}, which {scored.folder} does not have for that subject; name another")
    return Video(place, str(rows[0]["prompt"]), rows[0]["seed"])


def _matched(results: Mapping[str, Result]) -> list[MatchedRun]:
    return [one for result in results.values() for one in result.matched]


def strips(results: Mapping[str, Result], chosen: Video) -> list[Strip]:
    """Read strips of an exemplar, the untuned model and every arm; what is missing has a reason in place of frames."""
    shown = {arm: [run for run in result.matched if run.run.place == chosen.place] for arm, result in results.items()}
    first = next(runs[0].run for runs in shown.values() if runs)
    rows = list[Strip]()
    with suppress(VmcError):
        for name, path in list(first.exemplars.items())[:1]:
            frames_FHWC = enlarge(first.frames_of(path, _evenly(count_frames(path))))
            rows.append(Strip(name="an exemplar", detail=f"clip {name}", frames_FHWC=frames_FHWC))
    with suppress(VmcError):  # its scores do not read
        untuned = [_strip("untuned model", "step 0", first.evaluations[0], chosen)] if 0 in first.evaluations else []
        rows += [strip for strip in untuned if strip.frames_FHWC is not None]
    for arm in sorted(results, key=lambda arm: (arm == METHOD, arm_order(arm))):  # the method last, as in the paper
        name = arm_name(arm)
        for one in shown[arm][:1]:
            detail = f"step {one.shown}, appearance {one.scored.appearance:.4f}"
            rows.append(_strip(f"{name} {NOT_REACHED}" if one.behind else name, detail, one.scored, chosen))
        if not shown[arm]:
            reasons = [reason for run, reason in results[arm].left_out if run.place == chosen.place]
            rows.append(Strip(name=name, missing=shorten((reasons or ["no run of this motion and seed"])[0], 90)))
    return rows


def _strip(name: str, detail: str, scored: Scored, chosen: Video) -> Strip:
    row = next((row for row in scored.rows if (row["prompt"], row["seed"]) == (chosen.prompt, chosen.seed)), None)
    if row is None:
        return Strip(name=name, detail=detail, missing="this prompt was not evaluated there")
    try:
        frames_FCHW = read_frames(scored.video(str(row["video"])))
    except VmcError:
        return Strip(name=name, detail=detail, missing=f"the video {row['video']} is missing or does not read")
    correct = row["motion_correct"]
    verdict = None if correct is None else (str(row["predicted"] or "invalid"), bool(correct))
    kept = frames_FCHW[_evenly(len(frames_FCHW))]
    return Strip(name=name, detail=detail, verdict=verdict, frames_FHWC=enlarge(kept))


def _evenly(of: int) -> list[int]:
    """Return the indices of evenly spaced frames, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, of - 1, min(SHOWN_FRAMES, of))})


def draw_strips(strips: Sequence[Strip], *, title: str) -> Figure:
    """Draw a row for each strip, its name at the left."""
    shapes = [strip.frames_FHWC.shape for strip in strips if strip.frames_FHWC is not None]
    frames, height, width = max((shape[:3] for shape in shapes), default=(8, 128, 128))
    tall = 8.0 / frames * height / width
    figure = Figure(figsize=(10.2, 0.45 + (tall + 0.08) * len(strips)))
    top = 0.4 / figure.get_figheight()
    figure.text(0.01, 1 - 0.5 * top, shorten(title, 150), weight="bold", size=10, va="center")
    share = (1 - top) / len(strips)
    for place, strip in enumerate(strips):
        low = 1 - top - (place + 1) * share
        axes = figure.add_axes((0.215, low + 0.03 * share, 0.78, 0.94 * share))
        axes.axis("off")
        if strip.frames_FHWC is None:
            axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=PLATE, edgecolor="none"))
            axes.text(0.5, 0.5, strip.missing, color=MUTED, ha="center", va="center", transform=axes.transAxes)
        else:
            # Side by side, white between them.
            padded = np.pad(strip.frames_FHWC, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
            axes.imshow(np.concatenate(padded, axis=1)[:, :-GAP], interpolation="none", aspect="equal")
            axes.set_anchor("W")
        middle = low + share / 2
        detail: dict[str, Any] = {"size": 7.5, "va": "center"}
        size = 8.5 if len(strip.name) <= 28 else 7.5  # a long name would touch the frames
        figure.text(0.01, middle + 0.16 * share, shorten(strip.name, 32), weight="bold", size=size, va="center")
        figure.text(0.01, middle - 0.06 * share, shorten(strip.detail, 36), color=MUTED, **detail)
        if strip.verdict:
            mark, color = ("✓", common.RIGHT) if strip.verdict[1] else ("✗", common.WRONG)
            said = shorten(f"{mark} {strip.verdict[0]}", 36)
            figure.text(0.01, middle - 0.24 * share, said, color=color, **detail)
    return figure
