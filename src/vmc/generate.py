"""`python -m vmc.generate`: generate videos by a run or the base model, or export the model in diffusers' layout."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vmc.config.checks import check_config, check_parts, check_place
from vmc.config.command import run_hydra
from vmc.config.run_config import choose_runs, take_over
from vmc.training.merging import name_of_runs
from vmc.utils.errors import VmcError

TAKEN_OVER = ("model", "token", "motion", "sampler", "trainer")
CLIPS = ("data", "seed")  # taken over too, where the run's clips are needed
SHOWN = 40  # videos on the contact sheet


def generate(config: DictConfig) -> None:
    """Write videos and a contact sheet, export the model, or both."""
    check_config(config, "generate")
    if config.prompt is None and config.prompts.file is None and config.export is None:
        raise VmcError("there is nothing to do: give prompt=..., prompts.file=FILE or export=DIR")
    if config.prompt is not None and config.prompts.file is not None:
        raise VmcError("prompt and prompts.file are both given; choose one of them")
    if config.push is not None:
        if config.export is None:
            raise VmcError(f"push is {config.push}, but export is null; give export=DIR, the folder that is uploaded")
        from vmc.tools.model_card import check_upload

        check_upload(config.push)  # before anything is loaded
    runs = choose_runs(config)
    if runs or config.run is not None:
        take_over(config, runs[0].path if runs else Path(config.run), TAKEN_OVER)
    check_parts(config, TAKEN_OVER)
    if config.step is not None and config.run is None:
        told = "which is the base model; give run=DIR, or leave step out"
        raise VmcError(f"step is {config.step}, but run is null, {told}")
    for key in ("output", "export"):
        if config[key] is not None:
            check_place(key, config[key])
    from vmc.config.build import build_experiment, build_part
    from vmc.diffusion.sampling import InvertedSampler
    from vmc.evaluation.generation import TunedModel
    from vmc.runs.folder import newest_weights
    from vmc.training.merging import MergedDeltas

    if config.run is not None and isinstance(build_part(config, "sampler"), InvertedSampler):
        take_over(config, Path(config.run), (*TAKEN_OVER, *CLIPS))
        check_parts(config, CLIPS)
    merged = MergedDeltas.load(runs) if runs else None
    experiment = build_experiment(config, merged=merged)
    if config.export is not None:
        experiment.model.check_export()
    experiment.hardware.use_threads()
    weights = newest_weights(Path(config.run), step=config.step) if config.run else None
    model = TunedModel.load(experiment.model, experiment.token, merged or weights, hardware=experiment.hardware)
    if config.export is not None:
        export(config, model)
    if config.prompt is not None or config.prompts.file is not None:
        folder = Path(config.run) / "videos" / weights.stem if weights else Path("outputs/videos", name_of_runs(runs))
        write_videos(experiment, model, Path(config.output or folder), batch_size=config.batch_size)


def export(config: DictConfig, model: Any) -> None:
    """Write the pipeline with its card, unless an earlier export has the same weights, and upload it."""
    from vmc.models.export import export_pipeline
    from vmc.tools.model_card import CARD, UNNAMED, card_text, upload
    from vmc.utils.files import write_text

    folder, weights = Path(config.export), model.weights
    card = folder / CARD
    if config.push and card.is_file() and model.fingerprint in card.read_text(encoding="utf-8"):
        print(f"{folder}: exported before")
        page = card.read_text(encoding="utf-8")
        if UNNAMED in page:
            write_text(card, page.replace(UNNAMED, f'from_pretrained("{config.push}"'))
    else:
        learned: dict[str, Any] = {}
        if config.run:
            learned = {"run": Path(config.run), "step": int(weights.stem)}
        elif weights:
            learned = {"merged": weights.runs}
        sampler = dict(config.sampler)
        page = card_text(model.base, fingerprint=model.fingerprint, sampler=sampler, name=config.push, **learned)
        export_pipeline(model.base, folder, denoiser=model.denoiser, text=model.encoder, card=page)
        print(f"{folder}: a complete pipeline in the diffusers layout, described in {CARD}")
    if config.push:
        print(f"{upload(folder, config.push, private=config.private)}: uploaded")


def write_videos(experiment: Any, model: Any, folder: Path, *, batch_size: int | None) -> None:
    """Write the videos of all prompts and their contact sheet."""
    from vmc.data.video import read_frames
    from vmc.evaluation.generation import find_sources, note_videos, video_names
    from vmc.runs.contact_sheet import contact_sheet

    prompts, sampler, sources = experiment.prompts, experiment.sampler, find_sources(experiment)
    begun_at = () if sources is None else (sources.describe(),)
    for prompt in prompts:
        model.encoder.check(prompt.text)
    files = [folder / name for name in video_names(prompts, sampler, model.identity, *begun_at)]
    generator = model.generator(sampler=sampler, batch_size=batch_size, sources=sources)
    made = list(generator.write(prompts, files))
    note_videos(folder, prompts, files)
    sheet = [(read_frames(file), prompt.text) for file, prompt in zip(files[:SHOWN], prompts, strict=False)]
    contact_sheet(folder / "sheet.png", [frames for frames, _ in sheet], [text for _, text in sheet])
    there = len(files) - len(made)
    print(
        f"{folder}: {len(made)} video{'s' * (len(made) != 1)} made, {there} {'was' if there == 1 else 'were'} there; "
        "sheet.png shows them"
    )


def main() -> None:
    """Entry point."""
    run_hydra(generate, "generate")


if __name__ == "__main__":
    main()
