"""The command that trains on the clips that were drawn of a Jester folder."""

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vmc.data.jester import Jester
from vmc.utils.text_files import normalize_label

CAPTION = "a person doing a {token} sign"
PROMPT = "{subject} doing the {token} sign."
"""Of the paper's motions, and so of every other class of Jester."""


class ChosenMotion(NamedTuple):
    """A class of Jester, or what is asked for as one."""

    label: str | None  # of the class; None for a motion of the configs that is none
    caption: str  # of its clips
    settings: list[str]  # what chooses it on the command line of a training


def choose_motion(text: str, configs: Path) -> ChosenMotion:
    """The motion of that name, or with that class, among the configs; any other text is taken for a class."""
    known = {file.stem: _read(file) for file in sorted((configs / "motion").glob("*.yaml"))}
    labels = {normalize_label(motion["label"] or ""): name for name, motion in reversed(known.items())}
    name = text if text in known else labels.get(normalize_label(text))
    if name is not None:
        return ChosenMotion(known[name]["label"], known[name].get("caption") or CAPTION, [f"motion={name}"])
    name = re.sub(r"\W+", "_", text).strip("_").lower()
    settings = {"name": name, "label": hydra_value(text), "caption": CAPTION, "prompt": PROMPT}
    return ChosenMotion(text, CAPTION, ["motion=custom", *(f"motion.{key}={value}" for key, value in settings.items())])


def train_command(source: Jester, motion: ChosenMotion, *, seed: int, exported: Path | None = None) -> str:
    """The command of the paper's stack that draws what `source` draws, or that trains on what was `exported` of it, a
    folder of videos.
    """
    usual, count = Jester(None), source.regularization_count
    if exported is None:
        data = [f"data.path={hydra_value(str(source.path))}"]
        for key, value, default in (
            ("exemplars", source.exemplar_count, usual.exemplar_count),
            ("regularization_count", count or usual.regularization_count, usual.regularization_count),
            ("split", source.split, usual.split),
        ):
            data += [f"data.source.{key}={value}"] if value != default else []
    else:
        data = ["data=videos", f"data.path={hydra_value(str(exported / 'exemplars'))}"]
        data += [f"regularization.path={hydra_value(str(exported / 'regularization'))}"] if count else []
    words = ["stack=paper", *data, *([] if count else ["regularization=none"]), *motion.settings, f"seed={seed}"]
    return f"python -m vmc.train {' '.join(map(shlex.quote, words))}"


def hydra_value(text: str) -> str:
    """The text as a value on Hydra's command line, in quotes where its grammar gives a character of it a meaning."""
    if re.fullmatch(r"[\w./-]+", text):
        return text
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${"))


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content.get("motion", content)  # a file that sets more than the motion has it below its name
