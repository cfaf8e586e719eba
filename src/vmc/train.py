"""`python -m vmc.train`: teach a model a motion. Composes, instantiates, runs."""

import logging
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vmc.cli import check_config, check_overlays, check_parts, run_hydra
from vmc.config.places import check_cache, check_place
from vmc.processes import end_with_parent

log = logging.getLogger(__name__)


def train(config: DictConfig) -> dict[str, Any]:
    """Train the run that the config describes, go on with it, or say that it is done; the state that it is left in.

    Where a signal stopped it the state holds the process's `exit_code`.
    """
    check_overlays(config, HydraConfig.get().runtime.choices)
    check_config(config, "train")
    # Here and not above: `--help`, a refused command line and a finished run must not wait for torch and diffusers.
    from vmc.runs.folder import RunFolder, is_done, read_state
    from vmc.runs.lock import remove_stale_lock, sole_writer

    run = RunFolder(Path(config.output), config=OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    first = config.trainer.devices == 1 or os.environ.get("LOCAL_RANK", "0") == "0"
    state = run.check()
    if is_done(state, config.steps):
        remove_stale_lock(run.path)
        print(f"{run.path} is finished: {state['step']} steps ({state['reason']}); nothing to do")
        return state
    check_place("output", config.output)
    check_cache(config.cache)
    check_parts(config)
    with sole_writer(run.path) if first else nullcontext():
        state = run.check()  # again: who wrote it until now may have finished it
        if state.get("status") == "running" and first:
            print(f"{run.path} was interrupted at step {state['step']}, its process is gone; it goes on")
        tell_unstoppable(config)
        code = 0 if is_done(state, config.steps) else build_session(config, run).train()
    state = read_state(run.path)
    if first:
        print(f"{run.path}: {outcome(config, state)}")
    # Of the first rank alone: Lightning kills all others where one of them ends with another code than 0.
    return {**state, "exit_code": code} if code and first else state


def threshold_of(config: DictConfig) -> float | None:
    """The appearance score at which the run stops; None without a metric of appearance, whatever the stack says."""
    metrics = config.get("metrics") or {"appearance": None}
    return config.stop.appearance if config.evaluate_every and metrics.get("appearance") is not None else None


def tell_unstoppable(config: DictConfig) -> None:
    """Log that a threshold was given which nothing measures."""
    if config.evaluate_every and config.stop.appearance is not None and threshold_of(config) is None:
        log.info("metrics has no appearance model, so that nothing stops the run: stop.appearance has no effect")


def outcome(config: DictConfig, state: Mapping[str, Any]) -> str:
    """How a run ended, also that one which should stop at a threshold came to its last step without reaching it."""
    said = f"{state['status']} at step {state['step']} ({state['reason']})"
    if threshold_of(config) is None or state["status"] != "finished" or state["reason"] != "steps":
        return said
    return f"{said}; the appearance score did not fall to stop.appearance ({config.stop.appearance})"


def build_session(config: DictConfig, run: Any) -> Any:
    """The run's parts, each built from its group. Where no parameters are trained, the base model alone is scored."""
    from hydra.utils import instantiate

    from vmc.files import cache_root
    from vmc.training.base_videos import BaseVideos
    from vmc.training.pretrained import Pretrained
    from vmc.training.rescoring import Rescoring
    from vmc.training.session import Session

    data, motion, token = instantiate(config.data), instantiate(config.motion), instantiate(config.token)
    base = instantiate(config.model, frames=data.frames, size=data.size, fps=data.fps)
    hardware, cache = instantiate(config.trainer), Path(config.cache or cache_root())
    tests = _test_set(instantiate(config.prompts), motion, token) if config.evaluate_every else []
    test_seeds = frozenset(prompt.seed for prompt in tests)
    base_videos = BaseVideos(base=base, hardware=hardware, cache=cache, test_seeds=test_seeds)
    regularization = instantiate(config.regularization, _partial_=True)
    parts: dict[str, Any] = {
        "base": base,
        "data": data,
        "motion": motion,
        "token": token,
        "regularization": regularization(source=data.source, seed=config.seed, base_videos=base_videos),
        "sampler": instantiate(config.sampler),
        "hardware": hardware,
        "seed": config.seed,
        "suite": instantiate(config.metrics) if config.evaluate_every else None,
        "prompts": tests,
        "generation_batch": config.generation_batch,
        "cache": cache,
    }
    threshold = threshold_of(config)
    if config.get("parameters") is None:
        scoring = Rescoring(**parts, threshold=threshold)
        return Pretrained(run=run, mirror=instantiate(config.logger), scoring=scoring)
    return Session(
        **parts,
        run=run,
        subset=instantiate(config.parameters),
        timestep_sampler=instantiate(config.timesteps),
        objective=instantiate(config.objective),
        optimizer=instantiate(config.optimizer),
        lr_schedule=instantiate(config.lr_schedule),
        mirror=instantiate(config.logger),
        steps=config.steps,
        batch_size=config.batch_size,
        evaluate_every=config.evaluate_every,
        evaluate_subset=config.evaluate_subset,
        stop_appearance=threshold,
        checkpoint_every=config.checkpoint_every,
        weights_dtype=config.weights_dtype,
    )


def _test_set(prompts: Mapping[str, Any], motion: Any, token: Any) -> list[Any]:
    """The prompts that a run is evaluated on."""
    from vmc.data.prompts import read_prompts, spread

    tests = read_prompts(
        Path(prompts["file"]),
        template=motion.template,
        token=token.word,
        seeds=list(prompts["seeds"]),
        language=motion.language,
    )
    return spread(tests, prompts["limit"])


def main() -> None:
    """Entry point."""
    end_with_parent()
    run_hydra(train, "train")


if __name__ == "__main__":
    main()
