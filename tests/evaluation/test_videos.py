"""A run's videos: from the delta, from the exported folder and from the model in memory they are the same."""

import csv
import json
import subprocess
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, TextToVideoSDPipeline
from PIL import Image

from vmc.data.prompts import Prompt
from vmc.data.video import frame_rate, read_frames
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.callback import training_generator
from vmc.evaluation.generation import TunedModel
from vmc.generate import main as generate
from vmc.models.token import MotionToken
from vmc.runs.folder import newest_weights
from vmc.training.hardware import Hardware

PROMPT = 'a "red" square, doing (slowly) the {token} sign'
LEARNED = [
    [],
    ["token=trained", "token.learning_rate=0.1"],
    ["token=trained", "token.learning_rate=0.1", "token.word=<motion>", "token.added=true", "token.start=sign"],
    ["parameters=lora", "parameters.alpha=80"],
]


@pytest.fixture(params=LEARNED, ids=["frozen", "trained", "added", "lora"])
def run(request, train, monkeypatch):
    """A run of which the frames that its model in memory makes of the prompt are kept, too."""
    from vmc.training import session as sessions

    kept = {}
    begin = sessions.Session._fit

    def fit(self, module, batches, stop):
        reason = begin(self, module, batches, stop)
        generator = training_generator(self.experiment, self._encoders, module)
        text = PROMPT.replace("{token}", self.experiment.token.word)
        kept["frames"] = generator.frames([Prompt(text=text, seed=5)])[0]
        return reason

    monkeypatch.setattr(sessions.Session, "_fit", fit)
    folder = train(*request.param, "optimizer.lr=1e-2", "sampler.steps=4")
    folder.in_memory = kept["frames"]
    return folder


def test_delta_and_export_give_the_video_of_the_model_in_memory(run, entered, base):
    status, said = entered(
        generate, f"run={run.path}", f"prompt={PROMPT}", "seeds=[5]", "output=made", "export=exported"
    )
    assert status == 0, said
    (file,) = Path("made").glob("*.mp4")
    difference = (read_frames(file).float() - run.in_memory.float()).abs()
    assert difference.mean() < 2  # what the video codec costs
    word = run.config["token"]["word"]
    pipeline = TextToVideoSDPipeline.from_pretrained("exported")
    assert isinstance(pipeline.scheduler, DPMSolverMultistepScheduler)
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        PROMPT.replace("{token}", word),
        num_frames=8,
        height=64,
        width=64,
        num_inference_steps=4,
        guidance_scale=run.config["sampler"]["guidance"],
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).frames
    assert (frames[0] * 255 - run.in_memory.float()).abs().max() <= 1

    untouched = TunedModel.load(base, MotionToken(), None, hardware=Hardware())
    plain = untouched.generator(sampler=Sampler(steps=4, guidance=4.0), batch_size=1)
    before = plain.frames([Prompt(text=PROMPT.replace("{token}", "sks"), seed=5)])[0]
    assert (before.float() - run.in_memory.float()).abs().mean() > 3  # training changed what is drawn


def test_the_delta_fits_a_fresh_base_to_the_bit(train, base):
    run = train()
    model = TunedModel.load(base, MotionToken(), newest_weights(run.path), hardware=Hardware())
    tensors = dict(model.denoiser.named_parameters())
    from safetensors.torch import load_file

    for name, tensor in load_file(run.weights(3)).items():
        assert torch.equal(tensors[name.removeprefix("unet.")], tensor)


def test_prompts_of_a_file_each_with_its_seeds(entered):
    Path("prompts.csv").write_text('subject,seed_1,seed_2\n"A man, old",1,2\nA woman,3,4\n')
    arguments = ["prompts.file=prompts.csv", "output=made", "sampler.steps=1", f"model.path={entered.model}"]
    status, said = entered(generate, *arguments, "batch_size=3", "motion=swiping_down")
    assert status == 0, said
    names = sorted(path.name.rpartition("-")[0] for path in Path("made").glob("*.mp4"))
    assert names == ["0000-a-man-old-1", "0001-a-man-old-2", "0002-a-woman-3", "0003-a-woman-4"]
    with Image.open("made/sheet.png") as sheet:
        assert sheet.width == 8 * 128
    next(Path("made").glob("0001-*.mp4")).unlink()
    status, said = entered(generate, *arguments, "motion=swiping_down")
    assert "1 video made, 3 were there" in said
    # Another sampler makes other videos, beside the ones that are there.
    status, said = entered(generate, *arguments, "motion=swiping_down", "sampler.steps=2")
    assert "4 videos made, 0 were there" in said
    assert len(list(Path("made").glob("*.mp4"))) == 8


def test_a_prompt_of_several_lines_makes_its_video_and_its_sheet(entered):
    arguments = [
        "prompt=a man,\n  laughing\nand jumping",
        f"model.path={entered.model}",
        "sampler.steps=1",
        "output=made",
    ]
    status, said = entered(generate, *arguments)
    assert status == 0 and "1 video made" in said, said
    assert [file.name.rpartition("-")[0] for file in Path("made").glob("*.mp4")] == [
        "0000-a-man-laughing-and-jumping-0"
    ]
    with Image.open("made/sheet.png") as sheet:
        assert sheet.size == (8 * 128, 128 + 22)


def test_samples_are_written_while_training_and_do_not_disturb_it(train, tmp_path, clips):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a square, with commas\na circle\n")
    options = [
        "evaluate_every=2",
        f"prompts.file={prompts}",
        "evaluate_subset=2",
        "sampler.steps=1",
        "steps=4",
        "metrics=none",
    ]
    sampled = train(*options, output=tmp_path / "sampled")
    silent = train("steps=4", output=tmp_path / "silent")
    for step in ("000000", "000002", "000004"):
        assert len(list((sampled.path / "evaluation" / step / "videos").glob("*.mp4"))) == 2
        assert (sampled.path / "evaluation" / step / "sheet.png").is_file()

    def losses(run):
        return [row["loss"] for row in csv.DictReader(run.train_csv.open())]

    assert losses(sampled) == losses(silent)


def test_the_mirror_holds_every_step_and_the_videos(train, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a square\n")
    run = train("logger=wandb", "evaluate_every=3", f"prompts.file={prompts}", "sampler.steps=1", "metrics=none")
    (log,) = run.path.glob("wandb/offline-run-*/*.wandb")
    wandb = Path(__import__("sys").executable).with_name("wandb")
    shown = subprocess.run([wandb, "leet", "inspect", "--json", log], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [item["step"] for item in history if "loss" in item] == [1, 2, 3]
    assert {item["step"] for item in history if "evaluation/videos" in item or "evaluation/flicker" in item} == {0, 3}
    assert next(record for record in records if record["type"] == "exit")["exit"]["exit_code"] == 0
    begun = next(record for record in records if record["type"] == "run")["run"]
    assert (begun["display_name"], begun["run_group"]) == ("method-custom-seed0", "mini")
    assert set(begun["tags"]) == {"method", "custom", "mini"}


def test_a_run_brings_its_model_and_sizes_and_the_command_line_has_the_last_word(train, entered):
    run = train("data.frames=4", "data.size=32", "data.fps=5", "sampler.steps=3")
    status, said = entered(generate, f"run={run.path}", "prompt=a man", "output=made", "sampler.steps=1")
    assert status == 0, said
    (file,) = Path("made").glob("*.mp4")
    assert read_frames(file).shape == (4, 3, 32, 32)
    assert frame_rate(file) == pytest.approx(5)
    status, said = entered(generate, f"run={run.path}", "prompt=a man", "token=trained")
    assert status == 1
    assert "token is given with run=" in said
