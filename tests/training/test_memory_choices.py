"""What a run does with less memory or room: 8-bit moments, decoding in parts, weights in half precision."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vmc.config.checks import check_parts
from vmc.config.command import compose
from vmc.config.known_keys import arguments
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.generation import TunedModel
from vmc.models.token import MotionToken
from vmc.runs.earlier_versions import up_to_date
from vmc.runs.folder import newest_weights
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError


def test_moments_of_eight_bits_learn_and_are_resumed_to_the_bit(train, tmp_path, base):
    pytest.importorskip("bitsandbytes")
    eight = ("optimizer=adamw8bit", "optimizer.lr=1e-3", "token=trained")
    whole = train(*eight, "steps=4", output=tmp_path / "whole")
    train(*eight, "steps=2", output=tmp_path / "parts")
    parts = train(*eight, "steps=4", output=tmp_path / "parts")
    one, two = load_file(whole.weights(4)), load_file(parts.weights(4))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    state = torch.load(whole.checkpoint(4), weights_only=True)["optimizer_states"][0]["state"]
    stored = [part.get("__bnb_optimizer_quant_state__", part) for part in state.values()]
    moments = [part[name] for part in stored for name in ("state1", "state2")]
    assert {tensor.dtype for tensor in moments if tensor.numel() >= 4096} == {torch.uint8}

    # A few steps of it are nearly those of the ordinary optimiser.
    plain = load_file(train("optimizer.lr=1e-3", "token=trained", "steps=4", output=tmp_path / "plain").weights(4))
    before = dict(base.denoiser().named_parameters())
    for name, tensor in plain.items():
        if name.startswith("unet."):
            moved = (tensor - before[name.removeprefix("unet.")]).abs().mean()
            assert (one[name] - tensor).abs().mean() < 0.2 * moved, name


def test_eight_bits_without_their_package_are_refused_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "bitsandbytes.optim", raising=False)
    arguments.cache_clear()
    with pytest.raises(VmcError, match=r"bitsandbytes.*; pip install 'vmc\[bnb\]', or use optimizer=adamw"):
        check_parts(compose("train", ["optimizer=adamw8bit"]))


def test_a_run_of_the_former_optimizer_of_eight_bits_goes_on():
    former = {"optimizer": {"_target_": "vmc.training.optimizers.AdamW8bit", "lr": 1e-3}}
    today = {"_target_": "bitsandbytes.optim.AdamW8bit", "_partial_": True, "lr": 1e-3}
    assert up_to_date(former)["optimizer"] == today


def test_videos_decoded_in_parts_are_the_same(base):
    prompts = [Prompt(text="a man", seed=1), Prompt(text="a man", seed=2)]
    made, passes = [], []
    for frames in (64, 3):
        model = TunedModel.load(base, MotionToken(), None, hardware=Hardware(decode_frames=frames))
        generator = model.generator(sampler=Sampler(steps=1, guidance=1.0), batch_size=2)
        decode = generator.autoencoder.module.decode
        generator.autoencoder.module.decode = lambda part, decode=decode: passes.append(len(part)) or decode(part)
        made.append(generator.frames(prompts))
    assert passes == [16, 3, 3, 3, 3, 3, 1]
    assert (made[0].int() - made[1].int()).abs().max() <= 1


def test_a_checkpoint_is_written_tensor_by_tensor(train, tmp_path, monkeypatch):
    written = []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda state, file: written.append(file.name) or save(state, file))
    run = train("steps=2", "checkpoint_every=1", output=tmp_path / "run")
    # To a file in a folder beside it, and never into memory first.
    assert len(written) == 2 and {Path(name).parents[1] for name in written} == {run.checkpoint(0).parent}
    state = torch.load(run.checkpoint(2), weights_only=True)
    trained = sum(tensor.numel() for tensor in load_file(run.weights(2)).values())
    assert sum(tensor.numel() for tensor in state["state_dict"].values()) == trained
    assert run.checkpoint(2).stat().st_size < 3.3 * 4 * trained  # with two moments, and nothing of what is frozen


def test_weights_in_half_precision_take_half_the_room_and_resuming_is_exact(train, tmp_path, base):
    full = train("steps=2", output=tmp_path / "full")
    train("weights_dtype=bfloat16", "steps=1", output=tmp_path / "half")
    half = train("weights_dtype=float16", "steps=2", output=tmp_path / "half")  # it may change when a run goes on
    exact, rounded = load_file(full.weights(2)), load_file(half.weights(2))
    assert all(torch.equal(exact[name].half(), rounded[name]) for name in exact)
    assert {tensor.dtype for tensor in load_file(half.weights(1)).values()} == {torch.bfloat16}
    assert half.weights(2).stat().st_size < 0.6 * full.weights(2).stat().st_size
    unet = TunedModel.load(base, MotionToken(), newest_weights(half.path), hardware=Hardware()).denoiser
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}


def test_keys_within_others_that_an_earlier_version_lacks_are_what_it_did():
    former = {"stop": {"appearance": 0.2}, "prompts": {"file": "a.csv"}}
    today = up_to_date(former)
    assert today["stop"] == {"appearance": 0.2, "early": True}
    assert today["prompts"] == {"file": "a.csv", "each": None}
    assert up_to_date({"stop": {"appearance": 0.2, "early": False}, "prompts": None})["stop"]["early"] is False
