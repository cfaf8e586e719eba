"""How many videos are made at a time, and that a shortage of memory halves it and loses nothing."""

import pytest
import torch

from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.batching import MOST, BatchSize, fitting, is_out_of_memory, prefetch
from vmc.evaluation.generation import TunedModel
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
    generator = model.generator(sampler=Sampler(steps=1, guidance=1.0), batch_size=4)
    latents, decode, sizes, decoded = generator.latents, generator.autoencoder.decode, [], []

    def short(prompts):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return latents(prompts)

    def short_of(latents_BCFHW, **settings):
        decoded.append(len(latents_BCFHW))
        if len(latents_BCFHW) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return decode(latents_BCFHW, **settings)

    monkeypatch.setattr(generator, "latents", short)
    monkeypatch.setattr(generator.autoencoder, "decode", short_of)
    prompts = [Prompt(text="a man", seed=seed) for seed in range(4)]
    files = [tmp_path / f"{prompt.seed}.mp4" for prompt in prompts]
    assert list(generator.write(prompts, files)) == files
    assert sizes == [4, 2, 2] and decoded == [2, 1, 1, 2, 1, 1] and all(file.is_file() for file in files)


def test_items_are_made_one_ahead_and_in_order_and_errors_come_through():
    made = []

    def items():
        for number in range(4):
            made.append((number, torch.get_num_threads()))
            yield number
        raise ValueError("the fifth")

    threads = torch.get_num_threads()
    device = torch.device("cpu")
    coming = prefetch(items(), device)
    assert next(coming) == 0 and len(made) <= 2
    assert [next(coming), next(coming), next(coming)] == [1, 2, 3] and made == [(n, threads) for n in range(4)]
    with pytest.raises(ValueError, match="the fifth"):
        next(coming)
    early = prefetch(iter(range(9)), device)
    assert next(early) == 0
    early.close()  # what was begun is waited for


def test_overlapped_videos_are_the_same_files(base, tmp_path):
    """Drawn in one thread, decoded in another and written in a third, in batches of two and one."""
    prompts = [Prompt(text=text, seed=seed) for seed, text in enumerate(["a man", "a hat", "a man"])]
    files = {}
    for overlap in (False, True):
        model = TunedModel.load(base, MotionToken(), None, hardware=Hardware(overlap=overlap))
        encode, asked = model.encoder, []
        generator = model.generator(sampler=Sampler(steps=2, guidance=2.0), batch_size=2)
        generator.encode = lambda text, encode=encode, asked=asked: asked.append(text) or encode(text)
        files[overlap] = [tmp_path / str(overlap) / f"{prompt.seed}.mp4" for prompt in prompts]
        assert list(generator.write(prompts, files[overlap])) == files[overlap]
        assert sorted(asked) == ["", "a hat", "a man"]  # each text once, the empty one too
    for one, other in zip(files[False], files[True], strict=True):
        assert one.read_bytes() == other.read_bytes()
