"""A run's videos: from the delta, from the exported folder and from the model in memory they are the same."""

from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, TextToVideoSDPipeline
from PIL import Image

from vmc.data.prompts import Prompt
from vmc.data.video import frame_rate, read_frames
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.during_training import training_generator
from vmc.evaluation.generation import TunedModel, video_names
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

    def fit(self, module, *more):
        reason = begin(self, module, *more)
        generator = training_generator(self.experiment, self._encoders, module)
        text = PROMPT.replace("{token}", self.experiment.token.word)
        kept["frames"] = generator.frames([Prompt(text=text, seed=5)])[0]
        return reason

    monkeypatch.setattr(sessions.Session, "_fit", fit)
    folder = train(*request.param, "model.size=64", "optimizer.lr=1e-2", "sampler.steps=4")
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
    table = Path("made/videos.csv").read_text().splitlines()
    assert table[0] == "video,prompt,seed,subject,language,suite,then" and len(table) == 5
    assert '"A man, old doing the sks sign.",2,"A man, old",' in table[2]
    next(Path("made").glob("0001-*.mp4")).unlink()
    status, said = entered(generate, *arguments, "motion=swiping_down")
    assert "1 video made, 3 were there" in said


def test_another_sampler_or_model_makes_other_videos_beside_those_that_are_there():
    prompts = [Prompt(text="a man", seed=0), Prompt(text="a man", seed=1, subject="A man, old")]
    one, two = (video_names(prompts, Sampler(steps=steps, guidance=1.0), "model") for steps in (1, 2))
    assert video_names(prompts) == ["0000-a-man-0.mp4", "0001-a-man-old-1.mp4"]
    assert len({*one, *two, *video_names(prompts, Sampler(steps=1, guidance=1.0), "another")}) == 6


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
