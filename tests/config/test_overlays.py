"""Every arm of Table 1, Table 2 and Figure 5: what it trains, draws, regularizes with and how fast; all else equal."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from vmc.config.folders import config_folder
from vmc.diffusion.timesteps import CoarseNoise, Uniform
from vmc.models.base import VideoModel
from vmc.models.tune_a_video import TuneAVideo
from vmc.models.zeroscope import UNet3D
from vmc.training.module import MotionModule
from vmc.training.regularization import NoRegularization, RealRegularization
from vmc.training.synthetic_regularization import SyntheticRegularization
from vmc.training.tuned_weights import TOKEN

STACKS = {"mini": [], "paper": ["stack=paper", "data.path=jester", "trainer=cpu"]}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What an overlay stands for. The defaults are the method.

    Args:
        name: the arm's; other than the method's, it is the overlay's own.
        trained: kinds of the UNet's parameters, see `of_kind`.
        tensors: how many these are in the miniature's UNet.
        rate: of these, as the stacks name it.
        row: the rate of the token's embedding row; None where it is frozen.
        timesteps: their sampler.
        regularization: class, mix and weight.
        steps: None for the stack's; 0 where no training takes place.
        family: of the model that is made of the stack's folder.
    """

    name: str = "method"
    trained: tuple[str, ...] = ("temporal", "keys and values")
    tensors: int = 350
    rate: str = "method"
    row: str | None = None
    timesteps: Any = field(default_factory=lambda: CoarseNoise(alpha=0.5))
    regularization: tuple[type, str, float] = (RealRegularization, "paired", 0.5)
    steps: int | None = None
    family: type[VideoModel] = UNet3D


METHOD = Arm()
NONE = (NoRegularization, "paired", 0.5)  # which nothing is drawn by
OVERLAYS = {
    # Table 1; none tilts its timesteps
    "baseline=textual_inversion": Arm(
        name="textual_inversion",
        trained=(),
        tensors=0,
        rate="textual_inversion",
        row="textual_inversion",
        timesteps=Uniform(),
        regularization=NONE,
    ),
    "baseline=dreambooth": Arm(
        name="dreambooth",
        trained=("spatial",),
        tensors=286,
        rate="dreambooth",
        timesteps=Uniform(),
        regularization=(SyntheticRegularization, "paired", 1.0),
    ),
    "baseline=custom_diffusion": Arm(
        name="custom_diffusion",
        trained=("keys and values",),
        tensors=14,
        rate="custom_diffusion",
        row="custom_diffusion_token",
        timesteps=Uniform(),
    ),
    # Figure 5
    "baseline=tune_a_video": Arm(
        name="tune_a_video",
        trained=("queries", "new attention"),
        tensors=7 * (2 + 5),
        rate="tune_a_video",
        timesteps=Uniform(),
        regularization=NONE,
        family=TuneAVideo,
    ),
    "baseline=method": METHOD,
    "baseline=pretrained": Arm(name="pretrained", trained=(), tensors=0, steps=0),
    # Table 2a
    "ablation=params_none": Arm(name="params_none", trained=("temporal",), tensors=336, rate="params_none"),
    "ablation=params_kv": METHOD,
    "ablation=params_all": Arm(name="params_all", trained=("temporal", "spatial"), tensors=622, rate="params_all"),
    # Table 2b
    "ablation=temporal_frozen": Arm(
        name="temporal_frozen", trained=("keys and values",), tensors=14, rate="temporal_frozen"
    ),
    "ablation=temporal_frozen_spatial": Arm(
        name="temporal_frozen_spatial", trained=("spatial",), tensors=286, rate="temporal_frozen_spatial"
    ),
    "ablation=temporal_trained": METHOD,
    # Table 2c
    "ablation=token_frozen": METHOD,
    "ablation=token_trained": Arm(name="token_trained", row="token"),
    # Table 2d
    "ablation=timesteps_uniform": Arm(name="timesteps_uniform", timesteps=Uniform()),
    "ablation=timesteps_coarse": METHOD,
    # Table 2e
    "ablation=reg_none": Arm(name="reg_none", regularization=NONE),
    "ablation=reg_synthetic": Arm(name="reg_synthetic", regularization=(SyntheticRegularization, "paired", 0.5)),
    "ablation=reg_real": METHOD,
    # Table 2f
    "ablation=lora": Arm(name="lora", trained=("adapters",), tensors=284, rate="lora"),
}
BOTH = [(overlay, stack) for overlay in OVERLAYS for stack in STACKS]
# The configs of the other overlays are the method's, as test_cli.py shows.
DIFFERENT = [(overlay, stack) for overlay, stack in BOTH if OVERLAYS[overlay] != METHOD or overlay == "baseline=method"]


def of_kind(kind: str, parameters: Mapping[str, Tensor]) -> set[str]:
    """The names of a kind, by words that do not come from the code."""
    parts = {name: set(name.split(".")) for name in parameters}
    temporal = {name for name in parts if {"transformer_in", "temp_convs", "temp_attentions"} & parts[name]}
    attended = {name for name in parts if {"attentions", "attn2"} <= parts[name]}
    keys_and_values = {name for name in attended if {"to_k", "to_v"} & parts[name]}
    if kind in ("queries", "new attention"):
        new = {name for name in parts if "temporal" in parts[name]}
        queries = {name for name in parts if "attentions" in parts[name] and "to_q" in parts[name]} - new
        return {"queries": queries, "new attention": new}[kind]
    if kind == "adapters":  # beside the linear layers and convolutions of what the method trains
        weights = {name for name in temporal | keys_and_values if parameters[name].ndim > 1}
        return {f"{name.removesuffix('.weight')}.lora_{factor}.weight" for name in weights for factor in "AB"}
    return {"temporal": temporal, "keys and values": keys_and_values, "spatial": {*parts} - temporal}[kind]


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def config_of(overlay: str, stack: str) -> DictConfig:
    return composed(f"+{overlay}", *STACKS[stack])


@pytest.fixture(scope="module")
def unet(base):
    return base.denoiser()


def test_the_table_holds_every_overlay():
    files = [file for kind in ("ablation", "baseline") for file in (config_folder() / kind).glob("*.yaml")]
    assert {f"{file.parent.name}={file.stem}" for file in files} == set(OVERLAYS)
    for overlay, arm in OVERLAYS.items():
        assert arm == METHOD or arm.name == overlay.partition("=")[2]


@pytest.mark.parametrize(("overlay", "stack"), DIFFERENT)
def test_an_arm_trains_exactly_its_parameters_at_its_rates(overlay, stack, base, unet):
    arm, config = OVERLAYS[overlay], config_of(overlay, stack)
    if arm.steps == 0:
        assert config.parameters is None
        return
    token = instantiate(config.token)
    encoder = base.text_encoder(token) if token.trained else None
    assert arm.family is TuneAVideo or config.model == composed(*STACKS[stack]).model
    if arm.family is not type(base):
        base = instantiate(config.model, path=str(base.path))
        unet = base.denoiser()
        assert type(base) is arm.family
    module = MotionModule(
        model=base,
        denoiser=copy.deepcopy(unet),
        subset=instantiate(config.parameters),
        optimizer=instantiate(config.optimizer),
        encoder=encoder,
    )
    expected = {f"unet.{name}" for kind in arm.trained for name in of_kind(kind, dict(unet.named_parameters()))}
    assert len(expected) == arm.tensors
    trained = module.trained_tensors()
    assert trained.keys() == expected | ({TOKEN} if arm.row else set())
    requiring = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    assert requiring == {id(tensor) for tensor in trained.values()}
    rates = {
        id(tensor): group["lr"] for group in module.configure_optimizers().param_groups for tensor in group["params"]
    }
    assert {rates[id(trained[name])] for name in expected} == ({config.rates[arm.rate]} if expected else set())
    if arm.row:
        assert rates[id(trained[TOKEN])] == config.rates[arm.row]


@pytest.mark.parametrize(("overlay", "stack"), BOTH)
def test_an_arm_draws_and_regularizes_as_its_table_says(overlay, stack):
    arm, config = OVERLAYS[overlay], config_of(overlay, stack)
    timesteps = instantiate(config.timesteps)
    assert (type(timesteps), timesteps) == (type(arm.timesteps), arm.timesteps)
    source = instantiate(config.regularization, _partial_=True)(source=None, seed=0, base_videos=None)
    assert (type(source), source.mix, source.weight) == arm.regularization
    if isinstance(source, SyntheticRegularization):
        assert source.sampler == instantiate(config.sampler) and source.path is None
    token = instantiate(config.token)
    assert (token.word, token.added, token.trained) == ("sks", False, arm.row is not None)
    assert (config.arm, config.stack_name) == (arm.name, stack)
    assert config.output == f"outputs/{stack}/{arm.name}/swiping_down/seed0"


@pytest.mark.parametrize(("overlay", "stack"), BOTH)
def test_an_arm_differs_from_the_method_in_nothing_else(overlay, stack):
    arm, config, method = OVERLAYS[overlay], config_of(overlay, stack), composed(*STACKS[stack])
    told = {
        "parameters": arm.trained != METHOD.trained,
        "timesteps": arm.timesteps != METHOD.timesteps,
        "token": arm.row is not None,
        "regularization": arm.regularization != METHOD.regularization,
        "optimizer": arm.rate != METHOD.rate and config.rates[arm.rate] != config.rates.method,
        "steps": arm.steps is not None,
        "model": arm.family is TuneAVideo,
        "sampler": arm.family is TuneAVideo,
        "arm": arm.name != METHOD.name,
        "output": arm.name != METHOD.name,
    }
    plain, other = (OmegaConf.to_container(part, resolve=True) for part in (method, config))
    assert {key for key in plain | other if plain.get(key) != other.get(key)} == {
        key for key, yes in told.items() if yes
    }
    assert config.steps == (method.steps if arm.steps is None else arm.steps)
    kept = {**other["optimizer"], "lr": plain["optimizer"]["lr"]}
    assert kept == plain["optimizer"], "of the optimiser the rate alone"


def test_the_stacks_state_the_same_rates_and_every_one_is_used():
    used = {arm.rate for arm in OVERLAYS.values()} | {arm.row for arm in OVERLAYS.values() if arm.row} | {"subject"}
    for stack in STACKS:
        rates = composed(*STACKS[stack]).rates
        assert set(rates) == used
        subject = composed(*STACKS[stack], "subject=images", "subject.path=DIR", "init=RUN")
        assert subject.token.further.subject.learning_rate == rates.subject
        assert all(rate > 0 for rate in rates.values())


@pytest.mark.parametrize(
    "overlay",
    [
        "ablation=lora",
        "ablation=params_all",
        "ablation=token_trained",
        "baseline=textual_inversion",
        "baseline=dreambooth",
        "baseline=custom_diffusion",
        "baseline=tune_a_video",
    ],
)
def test_the_command_line_has_the_last_word_on_rates(overlay):
    arm = OVERLAYS[overlay]
    rows = {arm.row} - {None, arm.rate}
    config = composed(f"+{overlay}", f"rates.{arm.rate}=0.25", *(f"rates.{row}=0.125" for row in rows))
    assert config.optimizer.lr == 0.25
    assert config.token.get("learning_rate") == (None if arm.row is None else 0.125 if rows else 0.25)
    row = ["token.learning_rate=0.125"] if arm.row else []
    config = composed(f"+{overlay}", "optimizer.lr=0.5", *row)
    assert config.optimizer.lr == 0.5
    assert config.token.get("learning_rate") == (0.125 if arm.row else None)
