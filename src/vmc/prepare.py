"""What is done with clips before runs use them.

`python -m vmc.prepare clips DIR` shows what a run would train on;
`python -m vmc.prepare jester PATH` verifies and counts Jester, and draws a run's clips and exports them;
`python -m vmc.prepare classifier PATH --output FILE` trains the gesture classifier that measures motions.
"""

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmc.utils.errors import VmcError, print_errors

if TYPE_CHECKING:  # what is only needed once the words are read is imported there: --help answers at once
    from vmc.data.jester import Jester

MOTIONS = ("swiping_down", "drumming_fingers", "rolling_hand_forward", "shaking_hand", "sliding_two_fingers_up")
"""The paper's (Sec. 4), of `conf/motion`."""
BACKBONES = {"small": "SmallResNet", "bninception": "BNInception"}
"""Choice -> what the checkpoint calls it."""


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0 done, 2 something the user can put right."""
    description = "Looks at clips, and makes Jester ready for runs."
    parser = ArgumentParser(prog="python -m vmc.prepare", description=description)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_jester(commands)
    _add_classifier(commands)
    _add_clips(commands)
    arguments = parser.parse_args(words)
    arguments.run(arguments)
    return 0


def _command(commands: Any, run: Callable[[Namespace], None], does: str) -> Callable[..., Any]:
    command = commands.add_parser(run.__name__, help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.set_defaults(run=run)
    return command.add_argument


def _add_counts(add: Callable[..., Any]) -> None:
    add("--exemplars", type=int, default=10, metavar="N", help="clips of the motion that a run draws (10)")
    add("--regularization-count", type=int, default=50, metavar="N", help="clips of each regularization class (50)")


def _add_jester(commands: Any) -> None:
    does = "verify a Jester folder, count it, and draw the clips that a run with this motion and seed trains on"
    add = _command(commands, jester, does)
    add("path", type=Path, metavar="PATH", help="folder with Jester's tables and frames, either layout")
    add("--motion", default="swiping_down", metavar="NAME", help="one of conf/motion, or a class (swiping_down)")
    add("--seed", type=int, default=0, help="of the run (0)")
    _add_counts(add)
    add("--split", default="validation", metavar="NAME", help="that clips are drawn from (validation)")
    add("--export", type=Path, metavar="DIR", help="a new folder for the drawn clips, as mp4 with captions")


def _add_clips(commands: Any) -> None:
    does = "show the clips as a run would train on them, in one picture, and say what part of them it would see"
    add = _command(commands, clips, does)
    add("path", type=Path, metavar="DIR", help="folder of clips, or one clip, as data.path has it")
    model = "one of conf/model, whose frames, rate and size are taken where none are given (mini)"
    add("--model", default="mini", metavar="NAME", help=model)
    add("--fps", type=float, metavar="X", help="data.fps, frames a second that are sampled")
    add("--frames", type=int, metavar="N", help="data.frames, of a window")
    add("--size", type=int, metavar="PX", help="data.size, height and width")
    add("--frame-folder-fps", type=float, default=12.0, metavar="X", help="of clips that are folders of frames (12)")
    add("--caption", metavar="TEXT", help="motion.caption (those beside the clips)")
    add("--stills", action="store_true", help="data.source.stills=true: every single image is a clip")
    add("--output", type=Path, default=Path("clips.png"), metavar="FILE", help="the picture, a PNG (clips.png)")


def _add_classifier(commands: Any) -> None:
    does = "train the gesture classifier (TRN) on a Jester folder; the same command goes on where it stopped"
    add = _command(commands, classifier, does)
    add("path", type=Path, metavar="PATH", help="folder with Jester's tables and frames")
    file = "the checkpoint, in the published format (NAME.pth.tar); the training lies beside it, in FILE.training"
    add("--output", type=Path, required=True, metavar="FILE", help=file)
    backbone = "small: the miniature's, for frames of 64 px (the default); bninception: the paper's"
    add("--backbone", choices=tuple(BACKBONES), default="small", help=backbone)
    add("--weights", type=Path, metavar="FILE", help="a TRN checkpoint of this backbone to begin with (from scratch)")
    add("--epochs", type=int, default=10, metavar="N", help="times that each clip is seen (10)")
    add("--batch", type=int, default=64, metavar="N", help="clips in a step (64)")
    rate = "of Muon, as a share of an orthogonal matrix in a step (0.015)"
    add("--rate", type=float, default=0.015, metavar="X", help=rate)
    add("--seed", type=int, default=0, help="of the first weights and of all draws (0)")
    add("--threads", type=int, metavar="N", help="threads, and decoding processes (all processors)")
    add("--device", choices=("cpu", "cuda"), help="where the network is trained (cuda where there is a GPU)")
    motions = "validation clips that runs of these motions and seeds train on choose no model (the paper's five)"
    add("--motions", nargs="*", default=MOTIONS, metavar="NAME", help=motions)
    add("--run-seeds", type=int, nargs="*", default=(0, 1, 2), metavar="N", help="of those runs (0 1 2)")
    _add_counts(add)


def jester(arguments: Namespace) -> None:
    """Verify, count, draw and, where asked, export."""
    from vmc.config.folders import config_folder
    from vmc.tools.jester_command import choose_motion, prepare_jester

    motion = choose_motion(arguments.motion, config_folder())
    source = _jester(arguments, split=arguments.split)
    prepare_jester(source, motion, seed=arguments.seed, export=arguments.export)


def _jester(arguments: Namespace, *, split: str = "") -> "Jester":
    """The folder, which calls its settings by the options' names in messages."""
    from vmc.data.jester import Jester

    keys = {"exemplars": "--exemplars", "regularization_count": "--regularization-count"}
    keys |= {"path": "PATH", "split": "--split" if split else ""}
    return Jester(
        arguments.path,
        exemplars=arguments.exemplars,
        regularization_count=arguments.regularization_count,
        split=split or "validation",
        keys=keys,
    )


def classifier(arguments: Namespace) -> None:
    """Train, and say where the training stands."""
    import torch

    from vmc.config.folders import config_folder
    from vmc.metrics.networks.classifiers import read_labels
    from vmc.tools.jester_classifier import JesterPlan, train_classifier
    from vmc.tools.jester_command import choose_motion
    from vmc.tools.learning.training import TrainOptions

    output, source = arguments.output, _jester(arguments)
    plan = JesterPlan(
        source=source,
        classes=read_labels(source.label_file),
        motions=[choose_motion(name, config_folder()).label for name in arguments.motions],
        arch=BACKBONES[arguments.backbone],
        **{name: getattr(arguments, name) for name in ("run_seeds", "weights", "epochs", "batch", "rate")},
    )
    chosen = {"threads": arguments.threads} if arguments.threads is not None else {}
    chosen["device"] = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    folder = output.with_name(f"{output.name}.training")
    train_classifier(plan, TrainOptions(output=folder, seed=arguments.seed, **chosen), output)


def clips(arguments: Namespace) -> None:
    """Show and say what a run would train on, also of clips that have no captions yet."""
    from vmc.config.command import compose
    from vmc.data.augmentation import Augmentation
    from vmc.data.checks import check_path
    from vmc.data.clips import Clip, check_readable
    from vmc.data.folder import VideoFolder, find_clips
    from vmc.data.frames import time_clip, timing_sentences
    from vmc.data.motion import MotionData
    from vmc.runs.contact_sheet import write_clip_sheet

    if arguments.output.suffix.lower() != ".png":
        raise VmcError(f"--output is {arguments.output}; the picture is a PNG: name it FILE.png")
    chosen = {name: getattr(arguments, name) for name in ("frames", "fps", "size")}
    known = compose("train", [f"model={arguments.model}"]).model
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
    """Print what the log says."""
    log, handler = logging.getLogger("vmc"), logging.StreamHandler(sys.stdout)
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
