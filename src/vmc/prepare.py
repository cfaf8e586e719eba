"""What is done with clips before runs use them.

`python -m vmc.prepare clips DIR` shows what a run would train on;
`python -m vmc.prepare jester PATH` verifies it, counts it, draws a run's clips and exports them;
`python -m vmc.prepare classifier PATH --output FILE` trains the gesture classifier that measures motions.
"""

import csv
import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vmc.utils.errors import VmcError
from vmc.utils.tables import aligned

if TYPE_CHECKING:  # what is only needed once the words are read is imported there: --help answers at once
    from vmc.data.clips import Clip
    from vmc.data.jester import Jester, SplitCheck
    from vmc.tools.jester_command import ChosenMotion

Item = TypeVar("Item")

MOTIONS = ("swiping_down", "drumming_fingers", "rolling_hand_forward", "shaking_hand", "sliding_two_fingers_up")
"""The paper's (Sec. 4), of `conf/motion`."""
BACKBONES = {"small": "SmallResNet", "bninception": "BNInception"}
"""Choice -> what the checkpoint calls it."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status: 0 done, 2 something the user can put right."""
    arguments = _parser().parse_args(words)
    try:
        arguments.run(arguments)
    except VmcError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m vmc.prepare", description="Looks at clips, and makes Jester ready for runs."
    )
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
    command.set_defaults(run=jester)
    _add_classifier(commands)
    _add_clips(commands)
    return parser


def _add_clips(commands: Any) -> None:
    does = "show the clips as a run would train on them, in one picture, and say what part of them it would see"
    command = commands.add_parser("clips", help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.add_argument("path", type=Path, metavar="DIR", help="folder of clips, or one clip, as data.path has it")
    model = "one of conf/model, whose frames, rate and size are taken where none are given (mini)"
    command.add_argument("--model", default="mini", metavar="NAME", help=model)
    command.add_argument("--fps", type=float, metavar="X", help="data.fps, frames a second that are sampled")
    command.add_argument("--frames", type=int, metavar="N", help="data.frames, of a window")
    command.add_argument("--size", type=int, metavar="PX", help="data.size, height and width")
    rate = "data.frame_folder_fps, of clips that are folders of frames (12)"
    command.add_argument("--frame-folder-fps", type=float, default=12.0, metavar="X", help=rate)
    caption = "motion.caption (those beside the clips)"
    command.add_argument("--caption", metavar="TEXT", help=caption)
    stills = "data.source.stills=true: every single image is a clip"
    command.add_argument("--stills", action="store_true", help=stills)
    output = "the picture, a PNG (clips.png)"
    command.add_argument("--output", type=Path, default=Path("clips.png"), metavar="FILE", help=output)
    command.set_defaults(run=clips)


def _add_classifier(commands: Any) -> None:
    does = "train the gesture classifier (TRN) on a Jester folder; the same command goes on where it stopped"
    command = commands.add_parser("classifier", help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.add_argument("path", type=Path, metavar="PATH", help="folder with Jester's tables and frames")
    file = "the checkpoint, in the published format (NAME.pth.tar); the training lies beside it, in FILE.training"
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help=file)
    backbone = "small: the miniature's, for frames of 64 px (the default); bninception: the paper's"
    command.add_argument("--backbone", choices=tuple(BACKBONES), default="small", help=backbone)
    weights = "a TRN checkpoint of this backbone to begin with (none: from scratch)"
    command.add_argument("--weights", type=Path, metavar="FILE", help=weights)
    command.add_argument("--epochs", type=int, default=10, metavar="N", help="times that each clip is seen (10)")
    command.add_argument("--batch", type=int, default=64, metavar="N", help="clips in a step (64)")
    rate = "of Muon, as a share of an orthogonal matrix in a step (0.015)"
    command.add_argument("--rate", type=float, default=0.015, metavar="X", help=rate)
    command.add_argument("--seed", type=int, default=0, help="of the first weights and of all draws (0)")
    command.add_argument("--threads", type=int, metavar="N", help="threads, and decoding processes (all processors)")
    device = "where the network is trained (cuda where there is a GPU)"
    command.add_argument("--device", choices=("cpu", "cuda"), help=device)
    left_out = command.add_argument_group(
        "clips that no model is chosen by", "Validation clips that these runs draw, to train on, are left out."
    )
    motions = "of the runs (the paper's five)"
    left_out.add_argument("--motions", nargs="*", default=MOTIONS, metavar="NAME", help=motions)
    left_out.add_argument("--run-seeds", type=int, nargs="*", default=(0, 1, 2), metavar="N", help="(0 1 2)")
    left_out.add_argument("--exemplars", type=int, default=10, metavar="N", help="of a run (10)")
    related = "of each of the two regularization classes (50)"
    left_out.add_argument("--regularization-count", type=int, default=50, metavar="N", help=related)
    command.set_defaults(run=classifier)


def jester(arguments: Namespace) -> None:
    """Verifies, counts, draws and, where asked, exports.

    Raises:
        VmcError: no Jester folder, tables that disagree, frames that are missing, too few clips of a class, or a
            folder to export to that is not empty.
    """
    from vmc.data.clips import check_readable
    from vmc.data.jester import Jester, check_split, check_tables

    motion = _motion(arguments.motion)
    if arguments.export is not None:
        _check_empty(arguments.export)
    source = Jester(
        arguments.path,
        exemplars=arguments.exemplars,
        regularization_count=arguments.regularization_count,
        split=arguments.split,
        keys=_keys(split="--split"),
    )
    check_tables(source, names=_names(source))
    checks = [check_split(source, split) for split in source.splits()]
    print("\n".join([*_counts(checks), "", *(check.summary for check in checks)]))
    if problems := [check.problem for check in checks if check.problem]:
        raise VmcError(f"{arguments.path} is not whole: {'; '.join(problems)}: unpack Jester's frames again")
    exemplars = source.exemplars(label=motion.label, caption=motion.caption, seed=arguments.seed)
    related = source.regularization(seed=arguments.seed)
    check_readable([*exemplars, *related], skip_bad=False, remedy="")
    print(f"\nseed {arguments.seed} draws of the {arguments.split} split")
    print(f"{len(exemplars)} exemplars of {motion.label}: {' '.join(clip.path.name for clip in exemplars)}")
    for text in dict.fromkeys(clip.caption for clip in related):
        print(f"{sum(clip.caption == text for clip in related)} regularization clips, {text!r}")
    if arguments.export is not None:
        _export(arguments.export, {"exemplars": exemplars, "regularization": related})
        print(f"wrote {arguments.export}")
    print(_next(source, motion, arguments))


def clips(arguments: Namespace) -> None:
    """Shows and says what a run would train on, also of clips that have no captions yet.

    Raises:
        VmcError: an option out of its range, no clips, one that cannot be read, or a picture that cannot be written.
    """
    from vmc.data.augmentation import Augmentation
    from vmc.data.checks import check_path
    from vmc.data.clips import Clip, check_readable
    from vmc.data.folder import VideoFolder, find_clips
    from vmc.data.frames import time_clip, timing_sentences
    from vmc.data.motion import MotionData
    from vmc.runs.sheets import write_clip_sheet

    if arguments.output.suffix.lower() != ".png":
        raise VmcError(f"--output is {arguments.output}; the picture is a PNG: name it FILE.png")
    chosen = {name: getattr(arguments, name) for name in ("frames", "fps", "size")}
    known = _window_of(arguments.model)
    data = MotionData(
        source=VideoFolder(arguments.path),
        augmentation=Augmentation(),
        frame_folder_fps=arguments.frame_folder_fps,
        **{name: known[name] if value is None else value for name, value in chosen.items()},
    )
    path = check_path(arguments.path, key="DIR")
    with _printed_log():  # how many clips there are, and what is odd about them
        files, captions = find_clips(path, key="DIR", stills=arguments.stills, caption=arguments.caption)
        named = zip(files, captions, strict=True)
        found = [Clip(path=file, caption=text or "(no caption yet)", role="exemplar") for file, text in named]
        check_readable(found, skip_bad=False, remedy="")
    transform = data.transform(augmented=True, mirror=False)
    timed = [time_clip(clip, transform) for clip in found]
    for _, sentence in timing_sentences(timed, frames=data.frames, fps=data.fps):
        print(sentence)
    write_clip_sheet(arguments.output, found, [transform] * len(found))
    print(f"wrote {arguments.output}")


@contextmanager
def _printed_log() -> Iterator[None]:
    """What the log says is printed."""
    log, handler = logging.getLogger("vmc"), logging.StreamHandler(sys.stdout)
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _window_of(model: str) -> Mapping[str, Any]:
    """The frames, rate and size of a model of the configs."""
    import yaml

    from vmc.config.folders import config_folder

    known = sorted(file.stem for file in (config_folder() / "model").glob("*.yaml"))
    if model not in known:
        raise VmcError(f"--model is {model}; it must be one of {', '.join(known)}")
    return yaml.safe_load((config_folder() / "model" / f"{model}.yaml").read_text(encoding="utf-8"))["model"]


def classifier(arguments: Namespace) -> None:
    """Trains, and says where the training stands.

    Raises:
        VmcError: an option out of its range, no Jester folder, one that is not as it should be, or a file or folder of
            something else.
    """
    import torch

    from vmc.data.jester import Jester
    from vmc.tools.classifier.training import Plan, train_classifier
    from vmc.tools.learning.course import Options

    output: Path = arguments.output
    source = Jester(
        arguments.path,
        exemplars=arguments.exemplars,
        regularization_count=arguments.regularization_count,
        keys=_keys(split=""),
    )
    plan = Plan(
        source=source,
        classes=_names(source),
        motions=[str(_motion(name).label) for name in arguments.motions],
        run_seeds=arguments.run_seeds,
        arch=BACKBONES[arguments.backbone],
        weights=arguments.weights,
        epochs=arguments.epochs,
        batch=arguments.batch,
        rate=arguments.rate,
    )
    chosen = {"threads": arguments.threads} if arguments.threads is not None else {}
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options = Options(output=output.with_name(f"{output.name}.training"), seed=arguments.seed, device=device, **chosen)
    train_classifier(plan, options, output)


def _motion(name: str) -> "ChosenMotion":
    """A motion of the configs, or a class."""
    from vmc.config.folders import config_folder
    from vmc.tools.jester_command import choose_motion

    motion = choose_motion(name, config_folder())
    if motion.label is None:
        raise VmcError(f"--motion is {name}, which is no class of Jester: name one that is, such as swiping_down")
    return motion


def _next(source: "Jester", motion: "ChosenMotion", arguments: Namespace) -> str:
    """How to train on the clips; of a regularization class, that no run does."""
    from vmc.tools.jester_command import train_command

    if source.known_label(str(motion.label)) in map(source.known_label, source.regularization_captions):
        return f"no run learns {motion.label}, which motions are told apart from"
    return f"train on them: {train_command(source, motion, seed=arguments.seed, exported=arguments.export)}"


def _keys(*, split: str) -> dict[str, str]:
    """What the settings of the clips are called here."""
    options = {"exemplars": "--exemplars", "regularization_count": "--regularization-count"}
    return {"path": "PATH", **options, "split": split}


def _names(source: "Jester") -> Sequence[str]:
    """The classes, sorted: those of the release's list, else Jester's 27."""
    from vmc.metrics.networks.classifiers import read_labels

    return read_labels(source.label_file)


def _bar(ids: Iterable[Item], *, split: str) -> Iterable[Item]:
    from tqdm import tqdm

    return tqdm(ids, desc=split, unit="clip", disable=None, leave=False)


def _counts(checks: "Sequence[SplitCheck]") -> list[str]:
    """A row a class, a column a split; totals beside the published ones."""
    from vmc.data.jester import PUBLISHED

    labels = sorted({label for check in checks for label in check.labels})
    rows = [("class", *(check.split for check in checks))]
    rows += [(label or "(no class given)", *(f"{check.labels[label]:,}" for check in checks)) for label in labels]
    rows.append(("all", *(f"{check.labels.total():,}" for check in checks)))
    rows.append(("the whole of Jester", *(f"{PUBLISHED[check.split]:,}" for check in checks)))
    return aligned(rows)


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VmcError(f"--export is {folder}, which is there and not empty: name another folder")


def _export(folder: Path, parts: "Mapping[str, Sequence[Clip]]") -> None:
    """A folder of clips for each part, with a `captions.csv`, as `data=videos` reads them; whole or not at all."""
    from vmc.data.video import FOLDER_RATE, read_frames, write_video
    from vmc.utils.files import atomic_folder

    try:
        with atomic_folder(folder) as temporary:
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


if __name__ == "__main__":
    sys.exit(main())
