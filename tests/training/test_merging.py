"""Several runs in one model: what each changed, times its scale; their words; and the commands that use them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import TextToVideoSDPipeline

from vmc.evaluate import main as evaluate
from vmc.evaluation.generation import TunedModel
from vmc.generate import main as generate
from vmc.models.lora import LoraSubset
from vmc.models.parameters import ParameterSubset
from vmc.models.token import MotionToken
from vmc.training.hardware import Hardware
from vmc.training.merging import MergedDeltas, ScaledRun, read_runs
from vmc.training.tuned_weights import TOKEN, Delta
from vmc.utils.errors import VmcError
from vmc.utils.files import fingerprint, sha256_of

LORA = {"rank": 2, "alpha": 6.0, "targets": ["spatial_kv", "*.temp_convs.*.conv1.2"]}  # linear layers, convolutions
WIDE = {"rank": 3, "alpha": 3.0, "targets": ["temporal", "spatial_kv"]}


@pytest.fixture(scope="module")
def config(train_into, metrics, tmp_path_factory) -> Path:
    """The config of a run."""
    folder = tmp_path_factory.mktemp("made") / "run"
    return train_into(folder, *metrics, "steps=1").path / "config.yaml"


@pytest.fixture
def write(base, config, tmp_path):
    """Writes a run with changes drawn by a seed: of a group's weights, or adapters; with rows of tokens."""

    def run(name: str, *, seed: int, groups=(), lora=None, word="sks", rows=(), further=(), **about) -> Path:
        denoiser = base.denoiser()
        subset = LoraSubset(**lora) if lora else ParameterSubset(groups=groups)
        chosen = subset.select(denoiser, base.groups)
        draw = torch.Generator().manual_seed(seed)
        size = 0.05 if lora else 0.01
        tensors = {
            f"unet.{key}": tensor + size * torch.randn(tensor.shape, generator=draw) for key, tensor in chosen.items()
        }
        tensors |= {row: torch.randn(64, generator=draw) for row in rows}
        told = MotionToken(word=word, further=dict(further)).describe()
        ours = {"family": "unet3d", "base": str(base.path), "base_fingerprint": base.fingerprint("denoiser")}
        folder = tmp_path / name
        (folder / "weights").mkdir(parents=True)
        text = config.read_text().replace("word: sks", f"word: {word}").replace("name: custom", f"name: {name}")
        (folder / "config.yaml").write_text(text)
        Delta(tensors=tensors, about={**ours, **subset.describe(), "token": told, **about}).save(
            folder / "weights" / "000002.safetensors"
        )
        return folder

    return run


def scaled(*runs: tuple[Path, float]) -> list[ScaledRun]:
    return [ScaledRun(path=path, weights=path / "weights" / "000002.safetensors", scale=scale) for path, scale in runs]


def merged(base, *runs: tuple[Path, float], token: MotionToken | None = None) -> TunedModel:
    deltas = MergedDeltas.load(scaled(*runs))
    return TunedModel.load(base, deltas.token(token or MotionToken()), deltas, hardware=Hardware())


def alone(base, path: Path) -> TunedModel:
    file = path / "weights" / "000002.safetensors"
    return TunedModel.load(base, MotionToken(), file, hardware=Hardware())


def parameters(model) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def whole_weights(base, path: Path) -> dict[str, torch.Tensor]:
    """A run's weights in full, its adapters multiplied out here: (alpha / rank) B A."""
    weights = {name: tensor.clone() for name, tensor in parameters(base.denoiser()).items()}
    delta = Delta.load(path / "weights" / "000002.safetensors")
    for name, tensor in delta.tensors.items():
        layer = name.removeprefix("unet.")
        if not name.startswith(TOKEN) and ".lora_" not in name:
            weights[layer] = tensor
        if name.endswith(".lora_B.weight"):
            lora, inner = delta.about["lora"], delta.tensors[name.replace("lora_B", "lora_A")]
            product = tensor.flatten(1) @ inner.flatten(1)
            layer = layer.replace(".lora_B", "")
            weights[layer] += lora["alpha"] / lora["rank"] * product.reshape(weights[layer].shape)
    return weights


KINDS = [
    ({"groups": ["temporal"]}, {"groups": ["temporal", "spatial_kv"]}),
    ({"lora": LORA}, {"lora": WIDE}),
    ({"lora": WIDE}, {"groups": ["temporal"]}),
]


@pytest.mark.parametrize(("one", "other"), KINDS, ids=["whole", "adapters", "both"])
def test_the_sum_is_that_of_the_changes_times_their_scales_in_any_order(base, write, one, other):
    a, b = write("a", seed=0, **one), write("b", seed=1, **other)
    found = parameters(merged(base, (a, 0.7), (b, -0.4)).denoiser)
    fresh, of_a, of_b = parameters(base.denoiser()), whole_weights(base, a), whole_weights(base, b)
    changed = {
        name for name in fresh if not torch.equal(of_a[name], fresh[name]) or not torch.equal(of_b[name], fresh[name])
    }
    assert len(changed) > 4 and found.keys() == fresh.keys()
    for name, weight in fresh.items():
        expected = weight + 0.7 * (of_a[name] - weight) - 0.4 * (of_b[name] - weight)
        assert torch.allclose(found[name], expected, atol=1e-6), name
        assert name in changed or torch.equal(found[name], weight), name
    swapped = parameters(merged(base, (b, -0.4), (a, 0.7)).denoiser)
    assert all(torch.equal(found[name], swapped[name]) for name in found)


def test_what_one_run_alone_changed_at_a_scale_of_1_is_that_runs_to_the_bit(base, write):
    a, b = write("a", seed=0, groups=["temporal"]), write("b", seed=1, groups=["spatial_kv"])
    found = parameters(merged(base, (a, 1.0), (b, 1.0)).denoiser)
    for path in (a, b):
        for name, tensor in Delta.load(path / "weights" / "000002.safetensors").tensors.items():
            assert torch.equal(found[name.removeprefix("unet.")], tensor)


def test_a_run_named_twice_counts_twice_and_its_negative_takes_it_back(base, write):
    a = write("a", seed=0, lora=LORA)
    twice, once = (parameters(merged(base, *runs).denoiser) for runs in ([(a, 0.5), (a, 1.0)], [(a, 1.5)]))
    none, fresh = parameters(merged(base, (a, 1.0), (a, -1.0)).denoiser), parameters(base.denoiser())
    for name in fresh:
        assert torch.allclose(twice[name], once[name], atol=1e-6)
        assert torch.allclose(none[name], fresh[name], atol=1e-6)


def test_videos_of_other_scales_have_other_names_and_the_order_has_no_part_in_it(base, write):
    a, b = write("a", seed=0, groups=["temporal"]), write("b", seed=1, groups=["temporal"], word="pll")
    marks = [MergedDeltas.load(scaled(*runs)).fingerprint for runs in ([(a, 1.0), (b, 0.6)], [(b, 0.6), (a, 1.0)])]
    assert marks[0] == marks[1] != MergedDeltas.load(scaled((a, 1.0), (b, 0.7))).fingerprint
    assert merged(base, (a, 1.0), (b, 0.6)).identity != merged(base, (a, 0.6), (b, 1.0)).identity


# --- words ------------------------------------------------------------------------------------------------------------


def test_each_trained_row_is_kept_under_its_own_word(base, write):
    a = write("a", seed=0, groups=["temporal"], rows=[TOKEN])
    subject = {"subject": {"word": "<me>", "added": True, "start": "man"}}
    b = write("b", seed=1, groups=["spatial_kv"], word="pll", rows=[TOKEN, f"{TOKEN}.subject"], further=subject)
    model = merged(base, (a, 1.0), (b, 0.5))
    tokens = model.encoder.token.tokens
    assert {name: token.word for name, token in tokens.items()} == {
        "motion": "sks",
        "motion_2": "pll",
        "subject": "<me>",
    }
    of_a, of_b = (Delta.load(path / "weights" / "000002.safetensors").tensors for path in (a, b))
    rows = model.encoder.rows
    assert torch.equal(rows["motion"], of_a[TOKEN]) and torch.equal(rows["motion_2"], of_b[TOKEN])
    assert torch.equal(rows["subject"], of_b[f"{TOKEN}.subject"])
    text = "a man doing the sks sign"
    assert torch.equal(model.encoder(text).embeddings_BLD, alone(base, a).encoder(text).embeddings_BLD)


def test_a_frozen_word_of_two_runs_is_one_word(base, write):
    a, b = write("a", seed=0, groups=["temporal"]), write("b", seed=1, groups=["temporal"])
    assert merged(base, (a, 1.0), (b, 1.0)).encoder.token.words == {"token": "sks"}


@pytest.mark.parametrize("rows", [[TOKEN], []], ids=["both trained", "one trained"])
def test_a_word_with_two_rows_is_refused(base, write, rows):
    a, b = write("a", seed=0, rows=[TOKEN]), write("b", seed=1, rows=rows, word="SKS")
    with pytest.raises(VmcError, match=rf"{a} and {b}, which both have the word 'SKS' .*token\.word=\.\.\."):
        merged(base, (a, 1.0), (b, 1.0))
    assert merged(base, (a, 1.0), (a, 0.5)).encoder.token.words == {"token": "sks"}, "the same row"


def test_what_a_run_was_started_from_can_be_taken_out_of_it(base, write):
    a = write("a", seed=0, groups=["temporal"], rows=[TOKEN])
    mark = fingerprint(a / "weights" / "000002.safetensors")
    later = write("later", seed=1, groups=["temporal", "spatial_kv"], rows=[TOKEN], init=mark)
    b = write("b", seed=2, groups=["temporal"], word="pll")
    model = merged(base, (b, 1.0), (later, 1.0), (a, -1.0), token=MotionToken(word="pll"))
    assert model.encoder.token.words == {"token": "pll", "motion_2_token": "sks"}
    row = Delta.load(later / "weights" / "000002.safetensors").tensors[TOKEN]
    assert torch.equal(model.encoder.rows["motion_2"], row)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_one_run_at_a_scale_of_1_is_that_run(write, entered):
    a = write("a", seed=0, lora=LORA)
    for chosen in (f"run={a}", f"runs=[{a}:1.0]"):
        status, said = entered(generate, chosen, "prompt=a man doing the {token} sign", "sampler.steps=1")
        assert status == 0, said
    assert "0 videos made, 1 was there" in said and len(list((a / "videos" / "000002").glob("*.mp4"))) == 1


def test_merged_runs_make_videos_and_a_pipeline_that_names_them_all(base, write, entered, caplog):
    a = write("a", seed=0, groups=["temporal"], rows=[TOKEN])
    b = write("b", seed=1, lora=LORA, word="pll", further={"subject": {"word": "zx"}})
    prompt = "prompt=a {subject_token} man doing the {token} sign and the pll sign"
    both, names = f"runs=[{a}:1.0,{b}:0.6]", set()
    for runs in (both, f"runs=[{a}:1.0,{b}:0.4]"):
        status, said = entered(generate, runs, prompt, "sampler.steps=1", *(["export=out"] if runs == both else []))
        assert status == 0, said
        names |= {file.name for file in Path("outputs/videos").glob("a@1+b@0.?/*.mp4")}
    assert len(names) == 2 and all("a-zx-man-doing-the-sks-sign-and-the-pll" in name for name in names)
    card = Path("out/README.md").read_text()
    assert "# a and b: motions for blank" in card and "the sum of 2 trainings" in card
    for path, scale in ((a, "1"), (b, "0.6")):
        assert f"## {path.name}, {scale} times" in card and f"scale: {scale}" in card
        assert sha256_of(path / "weights" / "000002.safetensors") in card and str(path) not in card
    pipeline = TextToVideoSDPipeline.from_pretrained("out")
    expected = merged(base, (a, 1.0), (b, 0.6))
    written, ours = parameters(pipeline.unet), parameters(expected.denoiser)
    assert all(torch.equal(written[name], ours[name]) for name in ours)
    row = pipeline.text_encoder.get_input_embeddings().weight[expected.encoder.token_embedding.ids["motion"]]
    assert torch.equal(row, expected.encoder.rows["motion"])


def test_merged_runs_are_scored_with_the_first_ones_test_set(write, entered, tmp_path):
    a = write("a", seed=0, groups=["temporal"])
    b = write("b", seed=1, groups=["temporal"], word="pll")
    status, said = entered(evaluate, f"runs=[{a}:0.5,{b}:0.5]", "copying=false", f"cache={tmp_path / 'cache'}")
    assert status == 0, said
    (folder,) = Path("outputs/mini/merged/a").iterdir()
    assert folder.name.startswith("a@0.5+b@0.5-") and "6 videos" in said
    assert "doing the sks sign" in (folder / "000002" / "scores.csv").read_text()


def test_runs_of_other_bases_and_scales_that_are_none_are_refused(write, entered):
    a = write("a", seed=0, groups=["temporal"])
    b = write("b", seed=1, groups=["temporal"], base="other", base_fingerprint="x")
    c = write("c", seed=1, groups=["temporal"], base="third", family="wan")
    d = write("d", seed=1, groups=["temporal"], word="pll")
    cases = [
        (f"[{a},{b}:0.6]", f"runs names {a}, tuned from "),
        (f"[{a},{b}:0.6]", f"{b}, tuned from another base model, other; name runs of one base model"),
        (f"[{a},{c}:0.6]", f"{c}, tuned from another base model, third"),
        (f"[{b}:0.6]", "these weights were trained on another model, other"),
        (f"[{a},{d}:big]", f"runs names {d} with the scale 'big'"),
    ]
    for runs, words in cases:
        status, said = entered(generate, f"runs={runs}", "prompt=a", "output=made", "export=out")
        assert status == 1 and words in said and "Traceback" not in said
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b", "c", "clip.mp4", "d", "occupied"]


def test_weights_are_named_by_their_file_alone_where_one_stands(write, monkeypatch):
    a = write("a", seed=0, groups=["temporal"])
    monkeypatch.chdir(a / "weights")
    (one,) = read_runs("[000002.safetensors:0.6]")
    assert (one.path.name, one.scale) == ("a", 0.6)


def test_a_tensor_that_the_model_lacks_is_named(base, write):
    a = write("a", seed=0, groups=["temporal"])
    file = a / "weights" / "000002.safetensors"
    delta = Delta.load(file)
    replace(delta, tensors={**delta.tensors, "unet.none.weight": torch.ones(1)}).save(file)
    with pytest.raises(VmcError, match=r"hold unet\.none\.weight, which this model does not have"):
        merged(base, (a, 0.5))
