"""How many videos are made at a time, and that a shortage of memory halves it and loses nothing."""

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.generation import MOST, BatchSize, TunedModel, fitting, is_out_of_memory
from vmc.models.token import MotionToken
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError


def test_as_many_as_fit_at_least_one():
    assert fitting(free=10e9, each=1e9) == 8
    assert fitting(free=1e9, each=5e9) == 1
    assert fitting(free=1e12, each=1e6) == MOST


def test_a_size_that_is_none_is_refused():
    with pytest.raises(VmcError, match="batch_size is 0; it must be at least 1"):
        BatchSize(0, torch.device("cpu"))


def test_a_shortage_halves_the_batch_until_one_does_not_fit():
    batch = BatchSize(5, torch.device("cpu"))
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    assert is_out_of_memory(error) and not is_out_of_memory(RuntimeError("shapes differ"))
    for size in (2, 1):
        batch.too_large(error)
        assert batch.size == size
    with pytest.raises(VmcError, match="one video alone does not fit"):
        batch.too_large(error)


def test_every_video_is_made_where_memory_is_short(base, tmp_path, monkeypatch):
    model = TunedModel.load(base, MotionToken(), None, hardware=Hardware())
    generator = model.generator(sampler=Sampler(steps=1, guidance=1.0), batch_size=3)
    frames, sizes = generator.frames, []

    def short(prompts):
        sizes.append(len(prompts))
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return frames(prompts)

    monkeypatch.setattr(generator, "frames", short)
    prompts = [Prompt(text="a man", seed=seed) for seed in range(3)]
    files = [tmp_path / f"{prompt.seed}.mp4" for prompt in prompts]
    assert list(generator.write(prompts, files)) == files
    assert sizes == [3, 1, 1, 1] and all(file.is_file() for file in files)
