import csv
from dataclasses import replace

import pytest
import torch
from torch import nn

from vmc.tools.learning.training import STATE, Task, TrainOptions, train
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator


def halving(width: int = 4, seed: int = 0) -> Task:
    """Learns to halve its input, with running statistics on the way."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 4))

    def loss_of(networks, step):
        inputs = torch.randn(8, 4, generator=generator(seed, step, "inputs"))
        return (networks["net"](inputs) - inputs / 2).square().mean()

    def measure(networks, step):
        inputs = torch.randn(64, 4, generator=generator("validation"))
        return float((networks["net"](inputs) - inputs / 2).square().mean())

    def export(networks, folder, progress):
        torch.save(networks["net"].state_dict(), folder / "net.pt")

    return Task(
        name="halves",
        steps=12,
        rate=0.02,
        identity={"width": width},
        networks={"net": network},
        loss_of=loss_of,
        measure=measure,
        export=export,
    )


@pytest.fixture
def options(tmp_path):
    def make(name: str = "run", **more) -> TrainOptions:
        return TrainOptions(output=tmp_path / name, threads=torch.get_num_threads(), **more)

    return make


def test_a_training_that_is_interrupted_ends_as_one_that_is_not(options):
    whole = train(halving(), options("whole"))
    train(halving(), options("cut", steps=12, minutes=1e-9))
    assert train(halving(), options("cut")).step == whole.step == 12
    first, second = (torch.load(options(name).output / "net.pt") for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert float(first["1.running_mean"].abs().sum()) > 0


def test_a_training_goes_on_from_its_state_alone_with_its_running_statistics(options):
    train(halving(), options())
    (options().output / "optimizer.pt").unlink()
    before = torch.load(options().output / "net.pt")
    assert train(halving(), options(steps=13)).step == 13
    after = torch.load(options().output / "net.pt")
    assert torch.allclose(before["1.running_var"], after["1.running_var"], rtol=0.5)


def test_the_log_has_the_tasks_name_and_a_figure_at_the_end(options):
    train(halving(), options())
    rows = list(csv.DictReader((options().output / "log.csv").open()))
    assert rows[-1]["phase"] == "halves" and rows[-1]["step"] == "12" and float(rows[-1]["validation"]) > 0


def test_another_configuration_is_refused(options):
    train(halving(), options())
    with pytest.raises(VmcError, match="training with width 4, and this one has 5"):
        train(halving(width=5), options())
    with pytest.raises(VmcError, match="training with seed 0, and this one has 1"):
        train(halving(seed=1), options(seed=1))
    with pytest.raises(VmcError, match="with seed 0, and this one has 1; with width 4, and this one has 5"):
        train(halving(width=5, seed=1), options(seed=1))


def test_measurements_are_told_with_their_step(options):
    told = []
    train(replace(halving(), measure_every=5, measure=lambda networks, step: told.append(step) or 0.5), options())
    assert told == [5, 10, 12]
    rows = list(csv.DictReader((options().output / "log.csv").open()))
    assert [row["step"] for row in rows if row["validation"]] == ["5", "10", "12"]


def test_a_damaged_state_and_a_foreign_folder_are_refused(options, tmp_path):
    train(halving(), options())
    state = options().output / STATE
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(VmcError, match="cut off, damaged or no state"):
        train(halving(), options())
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    with pytest.raises(VmcError, match="not empty"):
        train(halving(), options("foreign"))


@pytest.mark.parametrize("wrong", [{"minutes": -1}, {"steps": 0}, {"threads": 0}])
def test_options_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(VmcError, match=r"must be at least|cannot be negative"):
        TrainOptions(output=tmp_path, **wrong)


def test_a_line_of_the_log_that_was_cut_off_or_is_of_later_steps_is_dropped(options):
    train(halving(), options())
    log = options().output / "log.csv"
    before = log.read_bytes()
    log.write_bytes(before + b"halves,99,0.1,,1.0\r\nhalves,1")
    train(halving(), options())
    assert log.read_bytes() == before
