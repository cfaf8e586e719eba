"""`python -m vmc.evaluate`: score a run's weights, the base model, or a folder of videos of any origin."""

import os
import sys
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vmc.config.checks import check_cache, check_config, check_parts, check_place
from vmc.config.command import run_hydra
from vmc.config.known_keys import ABSENT, find
from vmc.config.run_config import choose_runs, take_over
from vmc.training.merging import name_of_runs, read_runs
from vmc.utils.errors import VmcError
from vmc.utils.processes import spawn_context

TAKEN_OVER = (
    *("stack_name", "model", "data", "motion", "token", "regularization", "subject", "prompts", "metrics", "sampler"),
    *("trainer", "stop", "seed"),
)
PROTOCOL = ("data", "motion", "token", "prompts", "metrics", "sampler")  # groups that scores depend on
CHOICES: dict[str, tuple[str | None, ...]] = {
    "ask": ("token", "language", "known"),
    "control": (None, "real"),
    "unreadable": ("stop", "wrong"),
}


def evaluate(config: DictConfig) -> None:
    """Score what the config names, in as many processes as it has devices, and print the metrics."""
    check_config(config, "evaluate")
    for key, known in CHOICES.items():
        if config[key] not in known:
            raise VmcError(f"{key} is '{config[key]}'; it must be {' or '.join(str(name or 'null') for name in known)}")
    if config.run is not None and config.videos is not None:
        raise VmcError("run and videos are both given; choose one of them")
    if config.videos is not None and config.control is not None:
        raise VmcError(f"videos and control={config.control} are both given; choose one of them")
    if config.ask != "token" and (config.videos is not None or config.control is not None):
        other = "videos" if config.videos is not None else f"control={config.control}"
        raise VmcError(f"ask={config.ask} is given with {other}, where nothing is asked for; leave ask out")
    runs = choose_runs(config)
    first = runs[0].path if runs else config.run and Path(config.run)
    if first:
        take_over(config, first, TAKEN_OVER)
    check_parts(config)
    check_cache(config.cache)
    if config.output is not None:
        check_place("output", config.output)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    if first and (changed := departures(plain, first)):
        print(f"not the protocol of {first}: {', '.join(changed)}")
    world = config.trainer.devices
    spawn = spawn_context()
    barrier = spawn.Barrier(world) if world > 1 else None
    others = [spawn.Process(target=work_beside, args=(plain, rank, world, barrier)) for rank in range(1, world)]
    for process in others:
        process.start()
    try:
        work(plain, 0, world, barrier)
    except BrokenBarrierError as error:
        raise VmcError("a process that shared the videos has failed; its error stands above") from error
    finally:
        if barrier is not None:
            barrier.abort()
        for process in others:
            process.join()


def departures(config: dict[str, Any], run: Path) -> list[str]:
    """Changes of the run's protocol by the command line: for each, a clause `key is VALUE (the run: VALUE)`.

    Paths of files are not part of the protocol.
    """
    from vmc.runs.earlier_versions import read_config
    from vmc.runs.resuming import differing_keys

    def shown(value: Any) -> str:
        return "null" if value is None or value is ABSENT else "its own" if isinstance(value, dict) else str(value)

    theirs = read_config(run)
    keys = [key for group in PROTOCOL for key in differing_keys(theirs.get(group), config[group], group)]
    keys = [key for key in keys if key.rpartition(".")[2] not in ("path", "get")]
    return [f"{key} is {shown(find(config, key))} (the run: {shown(find(theirs, key))})" for key in keys]


def work_beside(config: dict[str, Any], rank: int, world: int, barrier: Any) -> None:
    """Work in a further process; its failure is printed and ends the others."""
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        work(config, rank, world, barrier)
    except BrokenBarrierError:
        pass
    except Exception as error:
        print(f"error in process {rank}: {error}", file=sys.stderr)
        barrier.abort()


def work(config: dict[str, Any], rank: int, world: int, barrier: Any) -> None:
    """Score this process's share of the videos; the first process prints the metrics."""
    from vmc.evaluation.controls import conclude_known
    from vmc.evaluation.score import Ranks, summary_lines

    folder, jobs = jobs_of(config)
    for job in jobs:
        check_place("output", job.folder)
    summaries = [job.run(Ranks(rank, world, barrier.wait) if barrier else Ranks()) for job in jobs]
    if rank:
        return
    known = config["ask"] == "known"
    summary = conclude_known(folder, [job.folder for job in jobs], step=jobs[0].step) if known else summaries[0]
    show(config, folder, jobs[0])
    print(f"{folder}: {summary['videos']} videos")
    print("\n".join(f"  {line}" for line in summary_lines(summary)))


def show(config: dict[str, Any], folder: Path, job: Any) -> None:
    """Show the scores in W&B, as a run of their own, with `logger=wandb`."""
    from vmc.config.build import build_part
    from vmc.data.prompts import evenly
    from vmc.evaluation.score import SHOWN
    from vmc.runs.earlier_versions import read_config

    arm = read_config(Path(config["run"])).get("arm") if config["run"] else Path(config["videos"] or "base").name
    if config["runs"]:
        arm = name_of_runs(read_runs(config["runs"]))
    made_here = job.evaluation.videos is None and config["ask"] != "known"
    shown = [job.evaluation.names[place] for place in evenly(len(job.evaluation.names), SHOWN)] if made_here else []
    mirror = build_part(config, "logger")
    mirror.start(folder=folder, config={**config, "arm": arm}, job_type="evaluate")
    mirror.evaluation(folder, step=job.step, shown=shown)
    mirror.finish(0)


def jobs_of(config: dict[str, Any]) -> tuple[Path, list[Any]]:
    """The folder of the scores, and the evaluations that are needed for them."""
    from vmc.config.build import build_experiment, build_part
    from vmc.evaluation.controls import Controls, check_videos, find_videos
    from vmc.evaluation.generation import video_names
    from vmc.runs.folder import newest_weights
    from vmc.training.merging import MergedDeltas

    run, step, ask = config["run"], config["step"], config["ask"]
    if config["videos"] is not None:
        check_videos(Path(config["videos"]))
    elif run is None and step:
        raise VmcError(f"step is {step}, but run is null, which is the base model; give run=DIR, or leave step out")
    runs = read_runs(config["runs"]) if config["runs"] is not None else []
    merged = MergedDeltas.load(runs) if runs else None
    experiment, asked = build_experiment(config, merged=merged), build_part(config, "prompts")
    experiment.hardware.use_threads()
    wrong, output = config["unreadable"] == "wrong", config["output"]
    scoring = Controls(experiment=experiment, copying=config["copying"], unreadable_is_wrong=wrong)
    if config["videos"] is not None:
        videos, prompts = Path(config["videos"]), experiment.prompts
        folder = Path(output or f"{str(videos).rstrip('/')}-scores")
        names = named_videos(Path(asked["file"])) or find_videos(videos, prompts, video_names(prompts))
        if len(names) != len(prompts):
            remedy = "give each row one seed, and leave prompts.limit and prompts.each null"
            raise VmcError(f"prompts.file names {len(names)} videos for {len(prompts)} prompts; {remedy}")
        return folder, scoring.videos(folder, videos=videos, names=names)
    file = newest_weights(Path(run), step=step) if run and step != 0 else None
    step, weights = int(file.stem) if file else 0, merged or file
    home = Path(run) / "evaluation" if run else Path("outputs") / config["stack_name"] / "base" / experiment.motion.name
    if merged:
        step, made_of = runs[0].step, f"{name_of_runs(runs)}-{merged.fingerprint[:8]}"
        home = Path("outputs") / config["stack_name"] / "merged" / experiment.motion.name / made_of
    if config["control"] == "real":
        folder = Path(output or home / "real")
        return folder, scoring.real(folder)
    parts = [f"{step:06d}", asked.get("name"), None if ask == "token" else ask]
    folder = Path(output or home / "-".join(filter(None, parts)))
    if ask == "known":
        jobs = scoring.known(folder, weights=weights, step=step, known=asked.get("known"), each=config["known_videos"])
        return folder, jobs
    return folder, scoring.model(folder, weights=weights, step=step, language=ask == "language")


def named_videos(file: Path) -> list[str]:
    """Read the column `video` of a table of prompts; empty where it has none."""
    from vmc.utils.text_files import read_table

    if file.suffix.lower() not in (".csv", ".tsv"):
        return []
    columns, rows = read_table(file, wanted=("prompt", "subject", "video"))
    if "video" not in columns:
        return []
    for number, row in enumerate(rows, start=2):
        if not row["video"]:
            raise VmcError(f"{file}, row {number}, names no video; name one, or take the row out")
    return [row["video"] for row in rows]


def main() -> None:
    """Entry point."""
    run_hydra(evaluate, "evaluate")


if __name__ == "__main__":
    main()
