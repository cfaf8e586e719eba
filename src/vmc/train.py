"""`python -m vmc.train`: teach a model a motion. Composes, instantiates, runs."""

import logging
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vmc.config.checks import check_cache, check_config, check_overlays, check_parts, check_place
from vmc.config.command import run_hydra
from vmc.utils.processes import end_with_parent

log = logging.getLogger(__name__)


def train(config: DictConfig) -> dict[str, Any]:
    """Train the run that the config describes, resume it, or say that it is done; returns the state of its folder.

    If a signal stopped it, the state holds the `exit_code` of the process.
    """
    check_overlays(config, HydraConfig.get().runtime.choices)
    check_config(config, "train")
    # Imported here, so that `--help`, an invalid command line and a finished run need not wait for torch and diffusers.
    from vmc.runs.folder import RunFolder, read_state
    from vmc.runs.lock import remove_stale_lock, run_lock
    from vmc.runs.resuming import is_done

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
    from vmc.config.build import build_session, threshold_of

    with run_lock(run.path) if first else nullcontext():
        state = run.check()  # again, because the process that held the lock may have finished the run
        if state.get("status") == "running" and first:
            print(f"{run.path} was interrupted at step {state['step']}, its process is gone; it goes on")
        if config.evaluate_every and config.stop.appearance is not None and threshold_of(config) is None:
            log.info("metrics has no appearance model, so that nothing stops the run: stop.appearance has no effect")
        code = 0 if is_done(state, config.steps) else build_session(config, run).train()
    state = read_state(run.path)
    if first:
        print(f"{run.path}: {outcome(config, state)}")
    # Only on the first rank, because Lightning kills all others if one of them exits with another code than 0.
    return {**state, "exit_code": code} if code and first else state


def outcome(config: DictConfig, state: Mapping[str, Any]) -> str:
    """How a run ended, also whether it reached the threshold at which it should stop."""
    from vmc.config.build import threshold_of

    said = f"{state['status']} at step {state['step']} ({state['reason']})"
    if threshold_of(config) is None or not config.stop.early or state["status"] != "finished":
        return said
    if state["reason"] == "appearance":
        fallen = f"the appearance score has fallen to stop.appearance ({config.stop.appearance})"
        return f"{said}: {fallen}; stop.appearance=null, with another output=, trains on to step {config.steps}"
    return f"{said}; the appearance score did not fall to stop.appearance ({config.stop.appearance})"


def main() -> None:
    """Entry point."""
    end_with_parent()
    run_hydra(train, "train")


if __name__ == "__main__":
    main()
