"""Builds the objects that a composed config describes.

It imports torch and all parts of a run, so entry points import it only after everything else has been checked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import vmc.config.folders  # noqa: F401 - registers the resolvers of configs
from vmc.data.captions import fill
from vmc.data.clips import NoClips
from vmc.data.motion import Motion, MotionData
from vmc.data.prompts import Prompt, first_of_each, read_prompts, spread
from vmc.evaluation.controls import Pretrained
from vmc.models.token import MotionToken
from vmc.runs.folder import RunFolder
from vmc.training.experiment import Experiment
from vmc.training.merging import MergedDeltas
from vmc.training.regularization import NoRegularization
from vmc.training.session import Session
from vmc.training.subject import NoSubject
from vmc.training.synthetic_regularization import BaseVideos
from vmc.utils.errors import VmcError
from vmc.utils.files import cache_root

Config = Mapping[str, Any] | DictConfig


def build_part(config: Config, key: str, **more: Any) -> Any:
    """The value of a dotted key, such as `metrics.classifier`, built with `more` arguments if it describes an object;
    None if the key is missing.
    """
    tree = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    node = OmegaConf.select(tree, key, throw_on_missing=False)
    return _make(node, **more) if isinstance(node, DictConfig) else node


def build_parts(config: Config, keys: Sequence[str]) -> dict[str, Any]:
    """The values of several keys, built; any error of a class is a VmcError. Nothing is loaded."""
    made = {}
    for key in keys:
        try:
            made[key] = build_part(config, key)
        except InstantiationException as error:
            raise VmcError(f"{key} cannot be made ({error}); give other overrides") from error
    return made


def _make(node: Any, **more: Any) -> Any:
    try:
        return instantiate(node, **more)
    except InstantiationException as error:  # Hydra wraps the error of the class
        if isinstance(error.__cause__, VmcError):
            raise error.__cause__ from None
        raise


def build_experiment(config: Config, *, merged: MergedDeltas | None = None) -> Experiment:
    """Build the parts that training, evaluation and generation share.

    Args:
        config: a checked config of any command; without `data` there are no clips, without `metrics` no scores.
        merged: several runs, whose words captions and prompts may use; the config is that of the first.
    """
    data = _make(config["data"]) if "data" in config else None
    motion, token = _make(config["motion"]), _make(config["token"])
    token = merged.token(token) if merged else token
    video = {} if data is None else {"frames": data.frames, "size": data.size, "fps": data.fps}
    model = _make(config["model"], **video)
    if data is None:
        data = MotionData(source=NoClips(), frames=model.frames, size=model.size, fps=model.fps)
    hardware, cache = _make(config["trainer"]), Path(config.get("cache") or cache_root())
    prompts, seed = _prompts(config, motion, token), config.get("seed", 0)
    regularization: Any = NoRegularization()
    if "regularization" in config:
        videos = BaseVideos(base=model, hardware=hardware, cache=cache, test_seeds=frozenset(p.seed for p in prompts))
        regularization = build_regularization(config, source=data.source, seed=seed, base_videos=videos)
    return Experiment(
        model=model,
        data=data,
        motion=motion,
        token=token,
        sampler=_make(config["sampler"]),
        hardware=hardware,
        regularization=regularization,
        subject=_make(config["subject"]) if "subject" in config else NoSubject(),
        suite=_make(config["metrics"]) if "metrics" in config and _is_scored(config) else None,
        prompts=prompts,
        threshold=threshold_of(config),
        stops_early=(config.get("stop") or {}).get("early", True),
        generation_batch=config.get("generation_batch"),
        seed=seed,
        cache=cache,
    )


def build_regularization(config: Config, **given: Any) -> Any:
    """Build the regularization, with what no config has: the run's source, seed and base model's videos."""
    return _make(config["regularization"], _partial_=True)(**given)


def build_session(config: Config, run: RunFolder) -> Session | Pretrained:
    """Build a training run, or if no parameters are trained the evaluation of the base model."""
    experiment = build_experiment(config)
    if config.get("parameters") is None:
        if config["init"] is not None:
            raise VmcError(f"init is {config['init']}, but parameters is null, which trains nothing; give parameters")
        if not isinstance(experiment.subject, NoSubject):
            raise VmcError("subject has stills, but parameters is null, which trains nothing; give parameters")
        return Pretrained(experiment=experiment, run=run, mirror=_make(config["logger"]))
    return Session(
        experiment=experiment,
        run=run,
        subset=_make(config["parameters"]),
        timestep_sampler=_make(config["timesteps"]),
        objective=_make(config["objective"]),
        # Plain lists, because these settings are saved with the optimizer, and no checkpoint with a ListConfig loads.
        optimizer=_make(config["optimizer"], _convert_="all"),
        lr_schedule=_make(config["lr_schedule"]),
        mirror=_make(config["logger"]),
        **{key: config[key] for key in ("init", "steps", "batch_size", "checkpoint_every", "weights_dtype")},
        **{key: config[key] for key in ("evaluate_every", "evaluate_subset")},
    )


def threshold_of(config: Config) -> float | None:
    """The appearance score at which the run stops; always None without a metric of appearance."""
    scores = config.get("metrics") or {}
    return config["stop"]["appearance"] if _is_scored(config) and scores.get("appearance") is not None else None


def _is_scored(config: Config) -> bool:
    """Whether a training run is evaluated while it trains; true for other commands, which have no such key."""
    return bool(config.get("evaluate_every", True))


def _prompts(config: Config, motion: Motion, token: MotionToken) -> list[Prompt]:
    """The test set of a run, or the prompts of `vmc.generate`; none if nothing is scored."""
    if config.get("prompt") is not None:
        return [Prompt(text=fill(config["prompt"], **token.words), seed=seed) for seed in config["seeds"]]
    if not _is_scored(config):
        return []
    asked = _make(config["prompts"])
    if asked["file"] is None:
        if "prompt" in config:
            return []
        raise VmcError("prompts.file is null, so that nothing says what is asked for; give prompts.file=FILE")
    seeds = list(asked["seeds"] if "seeds" in asked else config["seeds"])
    language = None if "prompt" in config else motion.language
    file = Path(asked["file"])
    tests = read_prompts(file, template=motion.template, seeds=seeds, language=language, **token.words)
    return first_of_each(spread(tests, asked["limit"]), asked.get("each"))
