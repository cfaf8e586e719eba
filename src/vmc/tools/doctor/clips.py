"""The run's clips: found and counted, none of them opened."""

from hydra.utils import get_object
from omegaconf import OmegaConf

from vmc.config.build import build_regularization
from vmc.evaluation.synthetic import SyntheticRegularization
from vmc.tools.doctor.chosen import Chosen
from vmc.tools.doctor.rows import Row
from vmc.utils.errors import VmcError


def clips(chosen: Chosen) -> list[Row]:
    """A row for the clips; none where they are rendered when they are first needed."""
    jester = chosen.config.data.source._target_.endswith(".Jester")
    part = "Jester" if jester else "clips"
    if OmegaConf.is_missing(chosen.config.data, "path"):
        remedy = "python -m vmc.prepare jester PATH verifies a copy" if jester else "give data.path=DIR"
        return [Row(part=part, state="note", found="its folder is given by data.path", remedy=remedy)]
    if OmegaConf.is_dict(chosen.config.data.path):
        return []
    try:
        exemplars, related = _count(chosen)
    except VmcError as error:
        return [Row(part=part, state="fails", found=str(error), remedy="set data.path to a folder of such clips")]
    found = f"{exemplars} exemplars and {related} regularization clips in {chosen.config.data.path}, none opened"
    remedy = f"python -m vmc.prepare jester {chosen.config.data.path} looks for every frame" if jester else ""
    return [Row(part=part, state="ok", found=found, remedy=remedy)]


def _count(chosen: Chosen) -> tuple[int, str]:
    source, motion, seed = chosen.value("data.source"), chosen.value("motion"), chosen.config.seed
    exemplars = source.exemplars(label=motion.label, caption=motion.caption, seed=seed)
    if get_object(chosen.config.regularization._target_) is SyntheticRegularization:
        return len(exemplars), "no"  # none that are there: the base model makes them
    others = build_regularization(chosen.config, source=source, seed=seed, base_videos=None)
    return len(exemplars), str(len(others.clips()))
