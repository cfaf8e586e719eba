import csv
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vmc.diffusion.sampling import Sampler
from vmc.mini.__main__ import main
from vmc.mini.makers import blank
from vmc.mini.makers.pretraining import autoencoder, clips, marks, networks, preview, reading, training
from vmc.mini.makers.pretraining.clips import (
    FRAMES,
    MODELS,
    PLAIN,
    VALIDATION,
    WEBCAM,
    WINDOWS,
    Clips,
    render_windows,
    spec_of,
)
from vmc.mini.makers.pretraining.denoiser import FINE, Drawing, caption_of, motion_weights, timestep_weights
from vmc.mini.makers.pretraining.latents import Latents
from vmc.mini.makers.pretraining.marks import Marking, leave_marks
from vmc.mini.makers.pretraining.progress import PretrainingPlan, PretrainingProgress, open_session
from vmc.mini.makers.pretraining.reading import Lessons, teach
from vmc.mini.makers.pretraining.training import go_on
from vmc.mini.world.captions import RARE_WORDS
from vmc.mini.world.gestures import KNOWN, REGULARIZATION, RELATIVES, TARGETS
from vmc.models.latent_diffusion import forward_process
from vmc.models.text import TextEncoder
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.learner import LAST, WARM_UP, Learner, orthogonal
from vmc.tools.learning.training import STATE, Clock, TrainingFolder
from vmc.utils.errors import VmcError
from vmc.utils.randomness import initial_noise

TINY = PretrainingPlan(
    clips=3,
    webcam=2,
    plain=2,
    validation=2,
    vae_steps=2,
    steps=2,
    lessons=2,
    marks=2,
    images=1,
    motion=2,
    vae_batch=4,
    batch=2,
)


def train(path, plan=TINY, **lengths) -> bool:
    session = open_session(path, plan, device="cpu", clock=Clock(), **lengths)
    return go_on(session, workers=1)


@pytest.fixture(scope="module", autouse=True)
def small_and_on_one_thread():
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_SETTLED_ON", 16)
        patch.setattr(preview, "PROMPTS", preview.PROMPTS[:1])
        patch.setattr(preview, "SAMPLER", Sampler(steps=1, guidance=4.0))
        yield
    torch.set_num_threads(former)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("pretraining") / "run"
    assert train(path)
    return path


def test_a_window_is_eight_frames_four_apart_and_the_same_every_time():
    first, again = render_windows(5), render_windows(5)
    assert first.shape == (WINDOWS, FRAMES, 64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.any(render_windows(6) != first)


def test_a_still_portrait_is_eight_equal_frames():
    number = next(number for number in range(200) if spec_of(number).frames == 1)
    assert np.all(render_windows(number) == render_windows(number)[:1, :1])


def test_only_known_gestures_are_ever_shown_or_named():
    later = [first + place for first in (VALIDATION, WEBCAM, PLAIN) for place in range(100)]
    specs = [spec_of(number) for number in [*range(600), *later]]
    shown = {gesture for spec in specs for gesture in spec.gestures}
    assert shown == set(KNOWN) and len(KNOWN) == 16
    assert not shown & {*TARGETS, *RELATIVES, *REGULARIZATION}
    assert {person.pool for spec in specs for person in spec.persons} == {"pretraining"}


def test_a_caption_is_another_one_at_every_use(finished):
    latents = type("Latents", (), {"clips": Clips(3)})()
    draw = Drawing(latents, (), None, 0, 6)  # type: ignore[arg-type]
    texts = [draw.captions(step, [window // WINDOWS for window in draw.windows(step)]) for step in range(30)]
    assert texts == [draw.captions(step, [window // WINDOWS for window in draw.windows(step)]) for step in range(30)]
    used = [text for batch in texts for text in batch]
    assert len(set(used)) > 60
    assert 0.03 < used.count("") / len(used) < 0.2
    assert len({caption_of(0, seed) for seed in range(20)}) > 5


def test_every_window_is_used_once_before_any_is_used_again():
    latents = type("Latents", (), {"clips": Clips(4)})()
    draw = Drawing(latents, (), None, 0, 3)  # type: ignore[arg-type]
    used = [window for step in range(8) for window in draw.windows(step)]
    for start in (0, 8, 16):
        assert sorted(used[start : start + 8]) == list(range(8))


def test_the_written_pipeline_opens_and_samples(finished):
    base = UNet3D(path=finished / "pipeline", frames=8, size=64, fps=3.0, attention="plain")
    encoder = base.text_encoder()
    latents_BCFHW = Sampler(steps=2, guidance=4.0)(
        partial(base.predict, base.denoiser()),
        base.process.solver(),
        noise_BCFHW=initial_noise([0], base.latent_shape(frames=8, size=64)),
        text=encoder("a person swiping hand left"),
        empty=encoder(""),
    )
    assert base.autoencoder().decode(latents_BCFHW).shape == (1, 8, 3, 64, 64)
    assert base.autoencoder().module.config.scaling_factor == pytest.approx(1.0, abs=0.01)


def test_the_pipeline_is_small_and_its_tokenizer_whole(finished):
    sizes = [file.stat().st_size for file in (finished / "pipeline").rglob("*") if file.is_file()]
    assert sum(sizes) < 20e6
    tokenizer, whole = UNet3D(path=finished / "pipeline").tokenizer(), networks.make_tokenizer()
    for text in ("a person doing the sks sign.", "A Santa Claus' t-shirt, ÄÖ 12!", "", "pll " * 90):
        settings = {"padding": "max_length", "truncation": True, "max_length": 77}
        assert tokenizer(text, **settings).input_ids == whole(text, **settings).input_ids
    assert tokenizer.model_max_length == 77


def test_the_state_is_small_and_alone_enough_to_go_on(finished, tmp_path):
    assert (finished / STATE).stat().st_size < 40e6
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / STATE).write_bytes((finished / STATE).read_bytes())
    assert train(tmp_path / "moved", steps=3)
    progress, _ = TrainingFolder(tmp_path / "moved", PretrainingProgress).read()
    assert (progress.vae_step, progress.step, progress.steps) == (2, 3, 3)


def test_going_on_goes_on_counting(finished, tmp_path):
    path, clock = tmp_path / "run", Clock(asked=True)
    shutil.copytree(finished, path)
    before = (path / STATE).read_bytes()
    with (path / "log.csv").open("a") as stream:
        stream.write("unet,9,0.1,,1.0\n")  # a step that the state does not know, as after a kill
    assert not go_on(open_session(path, TINY, device="cpu", clock=clock, steps=4), workers=1)
    assert train(path, steps=4)
    assert (path / STATE).read_bytes() != before
    with (path / "log.csv").open() as stream:
        rows = [(row["phase"], row["step"]) for row in csv.DictReader(stream)]
    assert rows == [("vae", "2"), ("text", "2"), ("marks", "2"), ("unet", "2"), ("unet", "4")]
    assert {"vae-000002.png", "unet-000002.png", "unet-000004.png"} == {
        file.name for file in (path / "sheets").iterdir()
    }


@pytest.mark.parametrize("change", [{"seed": 1}, {"clips": 4}, {"batch": 3}])
def test_a_folder_of_another_configuration_is_refused(finished, change):
    plan = PretrainingPlan(**{**TINY.__dict__, **change})
    with pytest.raises(VmcError, match=f"{next(iter(change))}.*choose a new folder"):
        open_session(finished, plan, device="cpu", clock=Clock())


def test_a_folder_of_another_renderer_is_refused(finished, monkeypatch):
    monkeypatch.setattr("vmc.mini.makers.pretraining.progress.renderer_hash", lambda: "other")
    with pytest.raises(VmcError, match="renderer"):
        open_session(finished, TINY, device="cpu", clock=Clock())


def test_a_truncated_state_is_refused_in_a_sentence(finished, tmp_path, capsys):
    content = (finished / STATE).read_bytes()
    for length in (0, 5, 300, len(content) - 10):
        (tmp_path / STATE).write_bytes(content[:length])
        assert main(["pipeline", "--minutes", "1", "--threads", "1", "--output", str(tmp_path)]) == 2
        assert "cut off, damaged" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(VmcError, match="not empty"):
        open_session(tmp_path, TINY, device="cpu", clock=Clock())


def test_a_damaged_shard_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "cache_root", lambda: tmp_path)
    some = Clips(1)
    assert some.prepare(workers=1)
    path = some.shards[0][0]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(VmcError, match=r"damaged.*made again"):
        Clips(1).frames([0])


def test_settling_changes_latents_and_no_pictures():
    vae = networks.make_vae(0).requires_grad_(False).eval()
    pixels_BCHW = torch.from_numpy(render_windows(0)[0]).permute(0, 3, 1, 2).float() / 127.5 - 1
    before = autoencoder.reconstruct(vae, pixels_BCHW)
    deviation_C = autoencoder.settle(vae, pixels_BCHW)
    assert torch.allclose(autoencoder.reconstruct(vae, pixels_BCHW), before, atol=1e-4)
    mean_BCHW = vae.encode(pixels_BCHW).latent_dist.mean * vae.config.scaling_factor
    assert torch.allclose(mean_BCHW.mean((0, 2, 3)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(mean_BCHW.std((0, 2, 3)), torch.ones(8), atol=1e-2)
    assert len(deviation_C) == 8


def test_rates_warm_up_fall_and_warm_up_again_after_a_move():
    learner = Learner({"a": torch.nn.Linear(2, 2)}, rate=0.02, steps=1000)
    assert learner.share == pytest.approx(1 / WARM_UP)
    learner.restore(learner.tensors(), 1000)
    assert learner.share == pytest.approx(LAST / WARM_UP)
    learner.step = 1000 + WARM_UP
    assert learner.share == pytest.approx(LAST)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 4, 3, 3)])
def test_muon_moves_a_matrix_by_a_nearly_orthogonal_one(shape):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(drawn).flatten(1))
    assert values.min() > 0.5 and values.max() < 1.3


def test_of_the_embedding_table_only_rows_that_moved_are_stored(finished):
    with safe_open(finished / STATE, framework="pt") as file:
        key = next(key for key in file.keys() if key.endswith("token_embedding.weight"))  # noqa: SIM118
        rows, table = file.get_tensor(f"{key}.rows"), file.get_tensor(key)
    assert 0 < len(rows) < 200 and table.shape == (len(rows), 64)


def drawing(finished, **settings) -> Drawing:
    session = open_session(finished, TINY, device="cpu", clock=Clock())
    vae = training.finished_autoencoder(session)
    trained, *others = (Latents(clips, vae) for clips in session.all_clips[1:])
    return Drawing(trained, (0.0,) * 8, forward_process(blank.scheduler()), 0, 4, tuple(others), **settings)


def test_the_first_steps_and_one_in_eight_learn_from_single_frames(finished):
    draw = drawing(finished, images=3)
    shapes = [tuple(draw(step).noisy_BCFHW.shape) for step in range(9)]
    image, video = (4 * FRAMES, 8, 1, 8, 8), (4, 8, FRAMES, 8, 8)
    assert shapes == [image, image, image, video, video, video, video, video, image]
    assert len(draw(0).texts) == 4 * FRAMES
    assert torch.equal(draw(1).noisy_BCFHW, draw(1).noisy_BCFHW)


def test_most_clips_are_of_a_webcam_and_of_gestures_as_they_are_written(finished):
    draw = drawing(finished)
    for step in range(3):
        _, numbers = draw.clips(step)
        assert [(number >= WEBCAM) + (number >= PLAIN) for number in numbers] == [0, 1, 2, 2]
    assert {spec_of(number).framing for number in range(WEBCAM, WEBCAM + 50)} == {"webcam"}
    assert {spec_of(number).framing for number in range(50)} == {"web"}


def test_in_plain_clips_only_persons_and_gestures_vary_and_half_of_them_show_few_persons():
    specs = [spec_of(PLAIN + number) for number in range(400)]
    assert {(len(spec.persons), len(spec.gestures), spec.tempo, spec.framing) for spec in specs} == {
        (1, 1, "normal", "webcam")
    }
    traits = [spec.persons[0].traits for spec in specs]
    assert {(one.side, one.reach_x, one.reach_y, one.amplitude, one.pace, one.lag) for one in traits} == {
        (1, 0.0, 0.0, 1.0, 1.0, 0.5)
    }
    assert len({spec.persons[0] for spec in specs[1::2]}) == MODELS < len({spec.persons[0] for spec in specs[::2]})


def test_what_moves_counts_more_up_to_a_step_and_then_where_little_noise_is(finished):
    draw = drawing(finished, motion=1)
    for step in range(4):
        batch = draw(step)
        even_B = [weights.unique().numel() == 1 for weights in batch.weights_BCFHW]
        assert even_B == [step > 0 and timestep >= FINE for timestep in batch.timesteps_B.tolist()]
    latents_BCFHW = torch.zeros(2, 8, FRAMES, 8, 8)
    latents_BCFHW[0, :, :4, 2, 3] = 1.0  # in a clip something comes and goes at one place, in the other nothing moves
    weights_BCFHW = motion_weights(latents_BCFHW)
    assert weights_BCFHW[0].mean() == pytest.approx(1)
    assert weights_BCFHW[0, 0, :, 2, 3].min() > 100 * weights_BCFHW[0, 0, :, 0, 0].max()
    assert weights_BCFHW[1].unique().numel() == 1


def test_the_loss_weighs_noisy_timesteps_more_with_mean_1():
    weights_T = timestep_weights(forward_process(blank.scheduler()))
    assert float(weights_T.mean()) == pytest.approx(1)
    assert torch.all(weights_T.diff() >= 0) and weights_T[-1] > 5 * weights_T[250]


def test_the_text_encoder_learns_to_read_and_then_stays_as_it_is(finished, monkeypatch):
    monkeypatch.setattr(reading, "BATCH", 16)
    monkeypatch.setattr("vmc.tools.learning.learner.WARM_UP", 10)
    tokenizer = networks.make_tokenizer()
    encoder = networks.make_text_encoder(0, tokenizer)
    lessons = Lessons(clips=40, seed=0)
    assert set(lessons.values()["gesture"]) <= {*KNOWN, ""}
    first = teach(encoder, tokenizer, lessons, steps=2)
    assert teach(encoder, tokenizer, lessons, steps=10) < 0.9 * first
    with safe_open(finished / STATE, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("weights.text_encoder.")]  # noqa: SIM118
        assert names
        for name in names:
            average = name.replace("weights.", "average.", 1)
            assert torch.equal(file.get_tensor(name), file.get_tensor(average))


def test_an_unknown_word_leaves_a_mark_of_its_own_and_all_else_keeps_its_meaning(monkeypatch):
    monkeypatch.setattr(marks, "BATCH", 8)
    tokenizer = networks.make_tokenizer()
    encoder = networks.make_text_encoder(0, tokenizer)
    encode = TextEncoder(tokenizer=tokenizer, network=encoder, length=77)

    def reader(text: str) -> torch.Tensor:
        return encode(text).embeddings_BLD[0]

    marking = Marking(tokenizer=tokenizer, clips=40, seed=0)
    plain_BL, marked_BL, place_B, token_B = marking.batch(0, 8, 77)
    for plain, marked, place, token in zip(plain_BL, marked_BL, place_B.tolist(), token_B.tolist(), strict=True):
        assert marked[place] == token and token not in plain
        assert torch.equal(torch.cat([marked[:place], marked[place + 1 :]]), plain[:-1])
    with_sks, without, known = "a person doing the sks sign", "a person doing the sign", "a man swiping hand left"
    after = slice(8, None)
    former, unmarked = reader(known), (reader(with_sks)[after] - reader(without)[after]).norm(dim=1).mean()
    leave_marks(encoder, marking, steps=150)
    marked = (reader(with_sks)[after] - reader(without)[after]).norm(dim=1).mean()
    changed = (reader(known) - former).norm(dim=1).mean()
    assert marked > 2 * unmarked and marked > 1.5 * changed


def test_unknown_words_are_whole_and_in_no_caption(finished):
    words = Marking(tokenizer=networks.make_tokenizer(), clips=300, seed=0).words
    assert len(words) > 20_000 and not {"person", "doing", "sign", "hand"} & set(words)
    latents = type("Latents", (), {"clips": Clips(40)})()
    draw = Drawing(latents, (), None, 0, 40, unknown=tuple(words))  # type: ignore[arg-type]
    said = [set(text.rstrip(".").split()) for step in range(20) for text in draw.captions(step, list(range(40)))]
    rare = sum(bool(text & set(RARE_WORDS)) for text in said) / len(said)
    other = sum(bool(text & set(words)) for text in said) / len(said)
    assert 0.03 < rare < 0.12 and 0.03 < other < 0.2
