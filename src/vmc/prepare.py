"""`python -m vmc.prepare jester PATH`: verifies a Jester folder, counts it, draws a run's clips and exports them."""

import csv
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vmc.errors import VmcError

if TYPE_CHECKING:  # what is only needed once the words are read is imported there: --help answers at once
    from vmc.data.clips import Clip
    from vmc.data.jester import Jester
    from vmc.data.jester_check import SplitCheck

Item = TypeVar("Item")


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status: 0 done, 2 something the user can put right."""
    arguments = _parser().parse_args(words)
    try:
        jester(arguments)
    except VmcError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m vmc.prepare", description="Verifies and samples data sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    does = "verify a Jester folder, count it, and draw the clips that a run with this motion and seed trains on"
    command = commands.add_parser("jester", help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.add_argument(
        "path", type=Path, metavar="PATH", help="folder with Jester's tables and frames, either layout"
    )
    motion = "one of conf/motion, or a class of Jester (swiping_down)"
    command.add_argument("--motion", default="swiping_down", metavar="NAME", help=motion)
    command.add_argument("--seed", type=int, default=0, help="of the run (0)")
    command.add_argument("--exemplars", type=int, default=10, metavar="N", help="clips of the motion (10)")
    related = "clips of each of the two regularization classes (50)"
    command.add_argument("--regularization-count", type=int, default=50, metavar="N", help=related)
    command.add_argument("--split", default="validation", metavar="NAME", help="that clips are drawn from (validation)")
    export = "write the drawn clips as mp4 with captions; must not exist yet"
    command.add_argument("--export", type=Path, metavar="DIR", help=export)
    return parser


def jester(arguments: Namespace) -> None:
    """Verifies, counts, draws and, where asked, exports.

    Raises:
        VmcError: no Jester folder, tables that disagree, frames that are missing, too few clips of a class, or a
            folder to export to that is not empty.
    """
    from vmc.data.clips import check_readable
    from vmc.data.jester import Jester
    from vmc.data.jester_check import check_split, check_tables

    label, caption = _motion(arguments.motion)
    if arguments.export is not None:
        _check_empty(arguments.export)
    source = Jester(
        arguments.path,
        exemplars=arguments.exemplars,
        regularization_count=arguments.regularization_count,
        split=arguments.split,
    )
    check_tables(source, names=_names(source))
    checks = [check_split(source, split, progress=partial(_bar, split=split)) for split in source.splits()]
    print("\n".join([*_counts(checks), "", *(check.line(shorter_than=16) for check in checks)]))
    if problems := [problem for check in checks if (problem := check.problem())]:
        raise VmcError(f"{arguments.path} is not whole: {'; '.join(problems)}: unpack Jester's frames again")
    exemplars = source.exemplars(label=label, caption=caption, seed=arguments.seed)
    related = source.regularization(seed=arguments.seed)
    check_readable([*exemplars, *related], skip_bad=False)
    print(f"\nseed {arguments.seed} draws of the {arguments.split} split")
    print(f"{len(exemplars)} exemplars of {label}: {' '.join(clip.path.name for clip in exemplars)}")
    for text in dict.fromkeys(clip.caption for clip in related):
        print(f"{sum(clip.caption == text for clip in related)} regularization clips, {text!r}")
    if arguments.export is not None:
        _export(arguments.export, {"exemplars": exemplars, "regularization": related})
    else:
        chosen = f"motion={arguments.motion} seed={arguments.seed}"
        print(f"train on them: python -m vmc.train stack=paper data.path={arguments.path} {chosen}")


def _motion(name: str) -> tuple[str, str]:
    """Class and caption of a motion of the configs; any other name is taken for a class."""
    import yaml

    from vmc.mini.card.settings import config_folder

    file = config_folder() / "motion" / f"{name}.yaml"
    known: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {"label": name}
    known = known.get("motion", known)  # a file that sets more than the motion has it below its name
    if known["label"] is None:
        raise VmcError(f"--motion is {name}, which is no class of Jester: name one that is, such as swiping_down")
    return known["label"], known.get("caption") or "a person doing the {token} sign"


def _names(source: "Jester") -> Sequence[str]:
    """The classes: those of the release's list, else Jester's 27."""
    from vmc.data.jester_check import label_file
    from vmc.metrics.classifiers import JESTER_LABELS

    return source.labels() if label_file(source) else JESTER_LABELS


def _bar(ids: Iterable[Item], *, split: str) -> Iterable[Item]:
    from tqdm import tqdm

    return tqdm(ids, desc=split, unit="clip", disable=None, leave=False)


def _counts(checks: "Sequence[SplitCheck]") -> list[str]:
    """A row a class, a column a split; totals beside the published ones."""
    from vmc.data.jester_check import PUBLISHED

    labels = sorted({label for check in checks for label in check.labels})
    rows = [("class", *(check.split for check in checks))]
    rows += [(label or "(no class given)", *(f"{check.labels[label]:,}" for check in checks)) for label in labels]
    rows.append(("all", *(f"{check.clips:,}" for check in checks)))
    rows.append(("the whole of Jester", *(f"{PUBLISHED[check.split]:,}" for check in checks)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(checks) + 1)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(row[place].rjust(widths[place]) for place in range(1, len(row)))])
        for row in rows
    ]


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VmcError(f"--export is {folder}, which is there and not empty: name another folder")


def _export(folder: Path, parts: "Mapping[str, Sequence[Clip]]") -> None:
    """A folder of clips for each part, with a `captions.csv`, as `data=videos` reads them; whole or not at all."""
    from vmc.data.video import FOLDER_RATE, read_frames, write_video
    from vmc.files import folder_written_whole

    try:
        with folder_written_whole(folder) as temporary:
            for part, clips in parts.items():
                if not clips:
                    continue
                (temporary / part).mkdir()
                with (temporary / part / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
                    table = csv.writer(stream)
                    table.writerow(["file", "caption"])
                    for clip in _bar(clips, split=f"export {part}"):
                        name = f"{clip.path.name}.mp4"
                        write_video(temporary / part / name, read_frames(clip.path), fps=FOLDER_RATE)
                        table.writerow([name, clip.caption])
    except OSError as error:
        raise VmcError(f"--export is {folder}, which cannot be written ({error.strerror}): name another") from error
    related = f"regularization.path={folder / 'regularization'}" if parts["regularization"] else "regularization=none"
    command = f"python -m vmc.train data=videos data.path={folder / 'exemplars'} motion=custom {related}"
    print(f"wrote {folder}; train on them: {command}")


if __name__ == "__main__":
    sys.exit(main())
