"""Decoding in tiles, and a network that lies elsewhere while it is not needed."""

import pytest
import torch
import torch.nn.functional as F

from vmc.diffusion.sampling import on_device
from vmc.training.hardware import Hardware
from vmc.utils.errors import VmcError


@pytest.fixture(scope="module")
def local(base):
    """The autoencoder without its norms, which see a whole frame: a pixel then depends on its surroundings alone."""
    vae = base.autoencoder()
    for name, module in list(vae.module.named_modules()):
        if isinstance(module, torch.nn.GroupNorm):
            vae.module.set_submodule(name, torch.nn.Identity())
    return vae


def latents_of(side: int) -> torch.Tensor:
    """latents_BCFHW of a smooth picture."""
    rough = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    return F.interpolate(rough, size=(side, side), mode="bicubic")[:, :, None].expand(-1, -1, 2, -1, -1)


@pytest.mark.parametrize("tile", [64, 128])
def test_tiles_join_to_the_frame_that_is_decoded_whole(local, tile):
    latents = latents_of(32)
    passes = []
    decoder = local.module.decoder.forward
    local.module.decoder.forward = lambda part: passes.append(tuple(part.shape[2:])) or decoder(part)
    try:
        tiled = local.decode(latents, tile=tile)
        assert max(passes) == (tile // 8, tile // 8) and len(passes) > 4
        whole = local.decode(latents)
        assert passes[-1] == (32, 32)
    finally:
        local.module.decoder.forward = decoder
    assert tiled.shape == whole.shape == (1, 2, 3, 256, 256)
    apart = (tiled.int() - whole.int()).abs().float()
    assert apart.mean() < 1 and whole.float().std() > 5  # of 255


def test_a_tile_as_large_as_the_frame_changes_nothing(base):
    latents = latents_of(8)
    assert torch.equal(base.autoencoder().decode(latents, tile=64), base.autoencoder().decode(latents))


def test_clips_are_never_encoded_in_tiles(base):
    vae = base.autoencoder()
    frames = torch.randint(0, 256, (1, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    before = vae.encode(frames)
    vae.decode(latents_of(16), tile=64)
    assert torch.equal(vae.encode(frames), before)


@pytest.mark.parametrize("tile", [0, 16, 100])
def test_a_side_that_is_no_tiles_is_refused(tile):
    with pytest.raises(VmcError, match=f"decode_tile is {tile}; it must be a multiple of 32 px"):
        Hardware(decode_tile=tile)


def test_a_network_is_lent_and_comes_back():
    module = torch.nn.Linear(2, 2, device="meta")
    moves = []
    module.to = lambda device: moves.append(device)
    with on_device(module, torch.device("meta")):
        assert not moves
    with pytest.raises(ZeroDivisionError), on_device(module, torch.device("cpu")):
        assert moves == [torch.device("cpu")]
        _ = 1 / 0
    assert moves == [torch.device("cpu"), torch.device("meta")]


def test_offloading_keeps_the_autoencoder_off_the_gpu_and_changes_nothing_on_a_cpu(monkeypatch):
    assert Hardware(offload=True).resting_device == Hardware().device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    gpu = Hardware(accelerator="gpu", offload=True)
    assert (gpu.device.type, gpu.resting_device.type) == ("cuda", "cpu")
    assert Hardware(accelerator="gpu").resting_device.type == "cuda"
