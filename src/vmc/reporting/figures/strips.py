"""Fig. 3: frame strips of one prompt and seed, every arm at the matched appearance.

Axes: F frames, H and W, C colours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vmc.data.frames import resize_and_crop
from vmc.data.video import count_frames, read_frames
from vmc.reporting.catalogue import METHOD, NOT_REACHED, arm_name, arm_order
from vmc.reporting.figures.style import MUTED, RIGHT, SHOWN_FRAMES, WRONG, enlarged, evenly, shortened
from vmc.reporting.loaded import FoundRun, Scored
from vmc.reporting.matched import ArmResult, MatchedRun
from vmc.utils.errors import VmcError

GAP = 4  # px between frames


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One video as a row of frames.

    Args:
        name: of the arm.
        detail: below the name.
        verdict: what the classifier says, and whether it is right; None where nobody asked it.
        frames_FHWC: uint8; None for a video that is missing.
        missing: what is said in place of frames.
    """

    name: str
    detail: str = ""
    verdict: tuple[str, bool] | None = None
    frames_FHWC: np.ndarray | None = None
    missing: str = ""


def draw_strips(strips: Sequence[Strip], *, title: str) -> Figure:
    """A row a strip, its name at the left."""
    shapes = [strip.frames_FHWC.shape for strip in strips if strip.frames_FHWC is not None]
    frames, height, width = max((shape[:3] for shape in shapes), default=(8, 128, 128))
    tall = 8.0 / frames * height / width
    figure = Figure(figsize=(10.2, 0.45 + (tall + 0.08) * len(strips)))
    top = 0.4 / figure.get_figheight()
    figure.text(0.01, 1 - 0.5 * top, shortened(title, 150), weight="bold", size=10, va="center")
    share = (1 - top) / len(strips)
    for place, strip in enumerate(strips):
        low = 1 - top - (place + 1) * share
        axes = figure.add_axes((0.215, low + 0.03 * share, 0.78, 0.94 * share))
        axes.axis("off")
        if strip.frames_FHWC is None:
            axes.add_patch(_plate())
            axes.text(0.5, 0.5, strip.missing, color=MUTED, ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(_row(strip.frames_FHWC), interpolation="none", aspect="equal")
            axes.set_anchor("W")
        middle = low + share / 2
        figure.text(0.01, middle + 0.16 * share, shortened(strip.name, 32), weight="bold", size=8.5, va="center")
        figure.text(0.01, middle - 0.06 * share, shortened(strip.detail, 36), size=7.5, color=MUTED, va="center")
        if strip.verdict:
            text, right = strip.verdict
            mark, colour = ("✓", RIGHT) if right else ("✗", WRONG)
            figure.text(
                0.01, middle - 0.24 * share, shortened(f"{mark} {text}", 36), size=7.5, color=colour, va="center"
            )
    return figure


def _row(frames_FHWC: np.ndarray) -> np.ndarray:
    """Frames side by side, white between them."""
    count, height, width, _ = frames_FHWC.shape
    row = np.full((height, count * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for place, frame_HWC in enumerate(frames_FHWC):
        left = place * (width + GAP)
        row[:, left : left + width] = frame_HWC
    return row


def _plate() -> Rectangle:
    return Rectangle((0, 0), 1, 1, facecolor="#f2f2f2", edgecolor="none")


PREFERRED = ("sliding_two_fingers_up", "female firefighter", "firefighter")
"""The motion and the subject of the paper's Fig. 3, and the nearest to it."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is shown.

    Args:
        place: motion and training seed.
        prompt: of the video.
        seed: of the video.
    """

    place: tuple[str, int]
    prompt: str
    seed: int


def choose(
    results: Mapping[str, ArmResult], arms: Sequence[str], *, motion: str | None, subject: str | None, seed: int | None
) -> Chosen | None:
    """The motion and training seed that most arms have, and a prompt of its test set; the same whatever was learned.

    Args:
        results: all arms.
        arms: those that are to be shown, all of which have a run.
        motion, subject, seed: of the video; None takes the paper's, else the first one.

    Raises:
        VmcError: no run has that motion, or its test set no such subject or seed.
    """
    stands = [stand for arm in arms for stand in results[arm].stands]
    if not stands:
        return None
    known = sorted({stand.run.motion for stand in stands})
    if motion is not None and motion not in known:
        raise VmcError(f"figure3.motion is {motion}, of which there is no evaluated run; there are: {', '.join(known)}")
    counts = Counter(stand.run.place for stand in stands if motion in (None, stand.run.motion))
    place = min(counts, key=lambda place: (-counts[place], place[0] != PREFERRED[0], place))
    first = min((stand for stand in stands if stand.run.place == place), key=lambda stand: arm_order(stand.run.arm))
    row = _chosen_row(_shown(first), subject=subject, seed=seed)
    return Chosen(place=place, prompt=str(row["prompt"]), seed=row["seed"])


def _chosen_row(scored: Scored, *, subject: str | None, seed: int | None) -> dict[Any, Any]:
    rows = scored.scores.to_dict("records")
    if subject is not None:
        rows = [row for row in rows if str(row["subject"] or row["prompt"]).lower() == subject.lower()]
        if not rows:
            raise VmcError(
                f"figure3.subject is '{subject}', which {scored.folder} does not have; name one of its subjects"
            )
    else:
        names = [str(row["subject"] or row["prompt"]).lower() for row in rows]
        found = next((part for part in PREFERRED[1:] if any(part in name for name in names)), "")
        first = next(name for name in names if found in name)
        rows = [row for row, name in zip(rows, names, strict=True) if name == first]
    if seed is not None:
        rows = [row for row in rows if row["seed"] == seed]
        if not rows:
            raise VmcError(
                f"figure3.seed is {seed}, which {scored.folder} does not have for that subject; name another"
            )
    return rows[0]


def strips(results: Mapping[str, ArmResult], arms: Sequence[str], chosen: Chosen) -> list[Strip]:
    """An exemplar, the untuned model, and every arm that has a run; a plate in place of a video that is missing."""
    shown = {arm: _stand(results[arm], chosen) for arm in arms}
    found = [stand for stand in shown.values() if stand]
    rows = [*_exemplar(found[0].run), *_untuned(found[0].run, chosen)]
    for arm in sorted(arms, key=lambda arm: (arm == METHOD, arm_order(arm))):  # the method last, as in the paper
        one, name = shown[arm], arm_name(arm)
        if one is None:
            reasons = [reason for run, reason in results[arm].left_out if run.place == chosen.place]
            rows.append(Strip(name=name, missing=shortened((reasons or ["no run of this motion and seed"])[0], 90)))
        else:
            scored = _shown(one)
            detail = f"step {one.shown}, appearance {scored.appearance:.4f}"
            marked = f"{name} {NOT_REACHED}" if results[arm].behind(one) else name
            rows.append(_video(marked, detail, scored, chosen))
    return rows


def _stand(result: ArmResult, chosen: Chosen) -> MatchedRun | None:
    return next((stand for stand in result.stands if stand.run.place == chosen.place), None)


def _shown(stand: MatchedRun) -> Scored:
    return stand.run.evaluations[stand.shown]


def _exemplar(run: FoundRun) -> list[Strip]:
    """The first exemplar, where its clip is still there."""
    for name, path in run.clips("exemplar").items():
        try:
            places = evenly(SHOWN_FRAMES, of=count_frames(path))
            frames_FCHW = resize_and_crop(read_frames(path, places), int(run.config["data"]["size"]))
        except VmcError:
            return []
        return [Strip(name="an exemplar", detail=f"clip {name}", frames_FHWC=enlarged(frames_FCHW))]
    return []


def _untuned(run: FoundRun, chosen: Chosen) -> list[Strip]:
    """Step 0, where it was made of this prompt."""
    if 0 not in run.evaluations:
        return []
    try:
        strip = _video("untuned model", "step 0", run.evaluations[0], chosen)
    except VmcError:  # its scores do not read
        return []
    return [strip] if strip.frames_FHWC is not None else []


def _video(name: str, detail: str, scored: Scored, chosen: Chosen) -> Strip:
    rows = scored.scores.to_dict("records")
    row = next((row for row in rows if (row["prompt"], row["seed"]) == (chosen.prompt, chosen.seed)), None)
    if row is None:
        return Strip(name=name, detail=detail, missing="this prompt was not evaluated there")
    try:
        frames_FCHW = read_frames(scored.video(str(row["video"])))
    except VmcError:
        return Strip(name=name, detail=detail, missing=f"the video {row['video']} is missing or does not read")
    verdict = (
        None if row["motion_correct"] is None else (str(row["predicted"] or "invalid"), bool(row["motion_correct"]))
    )
    kept = frames_FCHW[evenly(SHOWN_FRAMES, of=len(frames_FCHW))]
    return Strip(name=name, detail=detail, verdict=verdict, frames_FHWC=enlarged(kept))
