"""`python -m vmc.prepare jester`: a Jester folder verified and drawn from, and the command that trains on it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from tqdm import tqdm

from vmc.data.clips import Clip, check_readable
from vmc.data.jester import PUBLISHED, Jester, SplitCheck, check_split, check_tables
from vmc.data.video import FOLDER_RATE, read_frames, write_video
from vmc.metrics.networks.classifiers import read_labels
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_folder
from vmc.utils.tables import align
from vmc.utils.text_files import normalize_label

CAPTION = "a person doing a {token} sign"
PROMPT = "{subject} doing the {token} sign."
"""Of the paper's motions, and so of every other class of Jester."""


@dataclass(frozen=True, kw_only=True)
class ChosenMotion:
    """A class of Jester with the caption of its clips."""

    label: str
    name: str | None = None  # in `conf/motion`; None where it is not there
    caption: str = CAPTION

    def overrides(self) -> list[str]:
        """The overrides that choose the class for a training."""
        if self.name is not None:
            return [f"motion={self.name}"]
        name = re.sub(r"\W+", "_", self.label).strip("_").lower()
        chosen = ["motion=custom", f"motion.name={name}", f"motion.label={self.label}"]
        return [*chosen, f"motion.caption={self.caption}", f"motion.prompt={PROMPT}"]


def choose_motion(text: str, configs: Path) -> ChosenMotion:
    """Find the motion of that name, or of that class, among the configs; any other text is taken for a class.

    Raises:
        VmcError: a motion of the configs that is no class of Jester.
    """
    for file in sorted((configs / "motion").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        motion = content.get("motion", content)  # a file that sets more than the motion has it below its name
        if text == file.stem or normalize_label(motion["label"] or "") == normalize_label(text):
            if motion["label"] is None:
                told = f"--motion is {text}, which is no class of Jester"
                raise VmcError(f"{told}: name one that is, such as swiping_down")
            return ChosenMotion(name=file.stem, label=motion["label"], caption=motion.get("caption") or CAPTION)
    return ChosenMotion(label=text)


def prepare_jester(source: Jester, motion: ChosenMotion, *, seed: int, export: Path | None) -> None:
    """Verify a folder, count it, print a run's clips, export them where asked, and print the command that trains.

    Raises:
        VmcError: tables that disagree, frames that are missing, too few clips of a class, or a folder to export to
            that is not empty.
    """
    if export is not None and export.exists() and (not export.is_dir() or any(export.iterdir())):
        raise VmcError(f"--export is {export}, which is there and not empty: name another folder")
    check_tables(source, names=read_labels(source.label_file))
    checks = [check_split(source, split) for split in source.splits()]
    print("\n".join([*_counts(checks), "", *(check.summary for check in checks)]))
    if problems := [check.problem for check in checks if check.problem]:
        raise VmcError(f"{source.path} is not whole: {'; '.join(problems)}: unpack Jester's frames again")
    exemplars = source.exemplars(label=motion.label, caption=motion.caption, seed=seed)
    related = source.regularization(seed=seed)
    check_readable([*exemplars, *related], skip_bad=False, remedy="")
    print(f"\nseed {seed} draws of the {source.split} split")
    print(f"{len(exemplars)} exemplars of {motion.label}: {' '.join(clip.path.name for clip in exemplars)}")
    for text in dict.fromkeys(clip.caption for clip in related):
        print(f"{sum(clip.caption == text for clip in related)} regularization clips, {text!r}")
    if export is not None:
        _export(export, {"exemplars": exemplars, "regularization": related})
        print(f"wrote {export}")
    if source.known_label(motion.label) in map(source.known_label, source.regularization_captions):
        print(f"no run learns {motion.label}, which motions are told apart from")
    else:
        print(f"train on them: {train_command(source, motion, seed=seed, exported=export)}")
        if export is not None:  # videos, which any stack reads
            print("as it is, this trains the miniature; add stack=paper to train ZeroScope, on a GPU")


def _counts(checks: Sequence[SplitCheck]) -> list[str]:
    """Format a table of a row a class and a column a split, with totals above the published ones."""
    rows = [("class", *(check.split for check in checks))]
    for label in sorted({label for check in checks for label in check.labels}):
        rows.append((label or "(no class given)", *(f"{check.labels[label]:,}" for check in checks)))
    rows.append(("all", *(f"{check.labels.total():,}" for check in checks)))
    return align([*rows, ("the whole of Jester", *(f"{PUBLISHED[check.split]:,}" for check in checks))])


def _export(folder: Path, parts: Mapping[str, Sequence[Clip]]) -> None:
    """Write a folder of clips for each part, with a `captions.csv`, as `data=videos` reads them; all or nothing."""
    with atomic_folder(folder, remedy="name another folder with --export") as temporary:
        for part, clips in parts.items():
            rows = [(f"{clip.path.name}.mp4", clip.caption) for clip in clips]
            for clip, (name, _) in zip(tqdm(clips, f"export {part}", disable=None, leave=False), rows, strict=True):
                write_video(temporary / part / name, read_frames(clip.path), fps=FOLDER_RATE)
            if rows:
                pd.DataFrame(rows, columns=["file", "caption"]).to_csv(temporary / part / "captions.csv", index=False)


def train_command(source: Jester, motion: ChosenMotion, *, seed: int, exported: Path | None = None) -> str:
    """Write the command that draws what `source` draws: the paper's stack from Jester's own folder, any from videos.

    Args:
        source: the clips.
        motion: the class of the exemplars.
        seed: the seed of the run.
        exported: the folder with the drawn clips as videos, which are trained on then; None for Jester's own.
    """
    usual, count = Jester(None), source.regularization_count
    if exported is None:
        words = ["stack=paper", f"data.path={source.path}"]
        for key, attribute in (("exemplars", "exemplar_count"), ("regularization_count",) * 2, ("split",) * 2):
            if (value := getattr(source, attribute)) not in (0, getattr(usual, attribute)):
                words.append(f"data.source.{key}={value}")
    else:
        words = ["data=videos", f"data.path={exported / 'exemplars'}"]
        words += [f"regularization.path={exported / 'regularization'}"] if count else []
    words += [] if count else ["regularization=none"]
    return f"python -m vmc.train {' '.join(map(shlex.quote, [*words, *motion.overrides(), f'seed={seed}']))}"
