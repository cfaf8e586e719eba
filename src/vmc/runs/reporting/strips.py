"""Which videos stand below each other in Fig. 3: one prompt and seed, every arm at the matched appearance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmc.data.frames import resize_and_crop
from vmc.data.video import count_frames, read_frames
from vmc.errors import VmcError
from vmc.runs.reporting.catalogue import METHOD, NOT_REACHED, arm_name, arm_order
from vmc.runs.reporting.figures.strips import Strip
from vmc.runs.reporting.figures.style import SHOWN_FRAMES, enlarged, evenly, shortened
from vmc.runs.reporting.found import FoundRun, Scored
from vmc.runs.reporting.standing import ArmResult, Stand

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
    row = _row(_shown(first), subject=subject, seed=seed)
    return Chosen(place=place, prompt=str(row["prompt"]), seed=row["seed"])


def _row(scored: Scored, *, subject: str | None, seed: int | None) -> dict[Any, Any]:
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


def _stand(result: ArmResult, chosen: Chosen) -> Stand | None:
    return next((stand for stand in result.stands if stand.run.place == chosen.place), None)


def _shown(stand: Stand) -> Scored:
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
