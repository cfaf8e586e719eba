"""`python -m vmc.train`: teach a model a motion. Composes, instantiates, runs."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vmc.cli import check_overlays, run_hydra


def train(config: DictConfig) -> None:
    """Train the run that the config describes, go on with it, or say that it is done."""
    check_overlays(config)
    # Here and not above: `--help` and a refused command line must not wait for torch and diffusers.
    from vmc.runs.folder import RunFolder, read_state

    run = RunFolder(Path(config.output), config=OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    state = run.check()
    if state.get("status") == "finished" and (state["step"] >= config.steps or state["reason"] == "appearance"):
        print(f"{run.path} is finished: {state['step']} steps ({state['reason']}); nothing to do")
        return
    session = build_session(config, run)
    session.train()
    if session.hardware.rank == 0:
        state = read_state(run.path)
        print(f"{run.path}: {state['status']} at step {state['step']} ({state['reason']})")


def build_session(config: DictConfig, run: Any) -> Any:
    """The run's parts, each built from its group."""
    from hydra.utils import instantiate

    from vmc.data.prompts import read_prompts, spread
    from vmc.training.session import Session

    data, motion, token = instantiate(config.data), instantiate(config.motion), instantiate(config.token)
    tests = []
    if config.evaluate_every:
        prompts = instantiate(config.prompts)
        tests = read_prompts(
            Path(prompts["file"]),
            template=motion.prompt,
            token=token.word,
            seeds=list(prompts["seeds"]),
            language=motion.language,
        )
        tests = spread(tests, prompts["limit"])
    return Session(
        run=run,
        base=instantiate(config.model),
        data=data,
        motion=motion,
        token=token,
        subset=instantiate(config.parameters),
        timestep_sampler=instantiate(config.timesteps),
        regularization=instantiate(config.regularization, _partial_=True)(source=data.source, seed=config.seed),
        optimizer=instantiate(config.optimizer),
        sampler=instantiate(config.sampler),
        hardware=instantiate(config.trainer),
        mirror=instantiate(config.logger),
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        suite=instantiate(config.metrics) if config.evaluate_every else None,
        prompts=tests,
        generation_batch=config.generation_batch,
        evaluate_every=config.evaluate_every,
        evaluate_subset=config.evaluate_subset,
        stop_appearance=config.stop.appearance,
        checkpoint_every=config.checkpoint_every,
        cache=config.cache,
    )


def main() -> None:
    """Entry point."""
    run_hydra(train, "train")


if __name__ == "__main__":
    main()
