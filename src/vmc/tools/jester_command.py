"""The command that trains on the clips that were drawn of a Jester folder."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vmc.data.jester import Jester
from vmc.utils.text_files import normalize_label

CAPTION = "a person doing a {token} sign"
PROMPT = "{subject} doing the {token} sign."
"""Of the paper's motions, and so of every other class of Jester."""


@dataclass(frozen=True, kw_only=True)
class ChosenMotion:
    """A class of Jester, or what is asked for as one.

    Args:
        name: in `conf/motion`; None where it is not there.
        label: of the class; None for a motion of the configs that is none.
        caption: of its clips.
    """

    name: str | None
    label: str | None
    caption: str = CAPTION

    def settings(self) -> list[str]:
        """What chooses it on the command line of a training."""
        if self.name is not None:
            return [f"motion={self.name}"]
        name = re.sub(r"\W+", "_", str(self.label)).strip("_").lower()
        chosen = ["motion=custom", f"motion.name={name}", f"motion.label={hydra_value(str(self.label))}"]
        return [*chosen, f"motion.caption={self.caption}", f"motion.prompt={PROMPT}"]


def choose_motion(text: str, configs: Path) -> ChosenMotion:
    """The motion of that name, or with that class, among the configs; any other text is taken for a class."""
    known = {file.stem: _read(file) for file in sorted((configs / "motion").glob("*.yaml"))}
    label = normalize_label(text)
    names = (
        [text] if text in known else [name for name in known if normalize_label(known[name]["label"] or "") == label]
    )
    if not names:
        return ChosenMotion(name=None, label=text)
    chosen = known[names[0]]
    return ChosenMotion(name=names[0], label=chosen["label"], caption=chosen.get("caption") or CAPTION)


def train_command(source: Jester, motion: ChosenMotion, *, seed: int, exported: Path | None = None) -> str:
    """The command of the paper's stack that draws what `source` draws.

    Args:
        source: the clips.
        motion: the class of the exemplars.
        seed: of the run.
        exported: the folder with the drawn clips as videos, which are trained on then; None for Jester's own.
    """
    data = _of_jester(source) if exported is None else _of_videos(source, exported)
    words = ["stack=paper", *data, *motion.settings(), f"seed={seed}"]
    return f"python -m vmc.train {' '.join(map(shlex.quote, words))}"


def _of_jester(source: Jester) -> Iterator[str]:
    yield f"data.path={hydra_value(str(source.path))}"
    usual = Jester(None)
    if source.exemplar_count != usual.exemplar_count:
        yield f"data.source.exemplars={source.exemplar_count}"
    if not source.regularization_count:
        yield "regularization=none"
    elif source.regularization_count != usual.regularization_count:
        yield f"data.source.regularization_count={source.regularization_count}"
    if source.split != usual.split:
        yield f"data.source.split={source.split}"


def _of_videos(source: Jester, folder: Path) -> Iterator[str]:
    yield "data=videos"
    yield f"data.path={hydra_value(str(folder / 'exemplars'))}"
    related = hydra_value(str(folder / "regularization"))
    yield f"regularization.path={related}" if source.regularization_count else "regularization=none"


def hydra_value(text: str) -> str:
    """The text as a value on Hydra's command line, in quotes where its grammar gives a character of it a meaning."""
    if re.fullmatch(r"[\w./-]+", text):
        return text
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${"))


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content.get("motion", content)  # a file that sets more than the motion has it below its name
