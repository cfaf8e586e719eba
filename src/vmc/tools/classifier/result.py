"""What a training on Jester leaves: the checkpoint in the published format, and its accuracy beside it as JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vmc.metrics.networks.classifiers import JESTER_LABELS
from vmc.tools.classifier.clips import Split
from vmc.tools.learning.course import Progress
from vmc.utils.files import atomic_write, fingerprint


def summary_file(output: Path) -> Path:
    """Beside the checkpoint."""
    return output.with_name(f"{output.name}.json")


def publish(
    best: Path,
    output: Path,
    *,
    right: NDArray[np.bool_],
    training: Split,
    validation: Split,
    progress: Progress,
) -> dict[str, Any]:
    """Copies the best network to its place and says how well it reads each class.

    Args:
        best: the checkpoint that was chosen.
        output: its place.
        right: which of the used validation clips it reads right.
        training: clips that it has learned from.
        validation: clips that it was chosen by.
        progress: of the training, which is done.
    """
    labels = validation.labels[validation.used]
    classes = {
        name: {
            "accuracy": float(right[labels == place].mean()),
            "clips": int((labels == place).sum()),
            "training_clips": int(training.counts[place]),
        }
        for place, name in enumerate(validation.classes)
    }
    summary = {
        "file": output.name,
        "sha256": fingerprint(best),
        "accuracy": float(right.mean()),
        "clips": len(labels),
        "clips_left_out": len(validation.ids) - len(labels),
        "training_clips": len(training.used),
        "chosen_epoch": int(torch.load(best, map_location="cpu", weights_only=True)["epoch"]),
        "classes": classes,
        "settings": progress.identity,
        "steps": progress.step,
        "seconds": round(progress.seconds),
    }
    # Before the checkpoint, so that there is none without it.
    with atomic_write(summary_file(output)) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_write(output) as temporary:
        shutil.copyfile(best, temporary)
    print("\n".join(_told(summary)))
    print(f"wrote {output}; use it: {_use(output, validation)}")
    return summary


def _told(summary: dict[str, Any]) -> list[str]:
    width = max(len(name) for name in summary["classes"])
    lines = [
        f"{name.ljust(width)}  {row['accuracy']:7.2%} of {row['clips']:,}" for name, row in summary["classes"].items()
    ]
    chosen = f"epoch {summary['chosen_epoch']}; {summary['clips_left_out']:,} clips that runs train on are left out"
    return [
        *lines,
        f"{'all'.ljust(width)}  {summary['accuracy']:7.2%} of {summary['clips']:,} validation clips ({chosen})",
    ]


def _use(output: Path, clips: Split) -> str:
    """Overrides of a run; the classes are named where they are not Jester's 27."""
    words = f"metrics.classifier.path={output}"
    if tuple(clips.classes) != JESTER_LABELS:
        words += f" metrics.classifier.labels={clips.source.label_file}"
    return f"python -m vmc.train stack=paper data.path={clips.source.path} {words}"
