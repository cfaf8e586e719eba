"""Tensors on disk: any flipped bit is found; a damaged cache file is made again."""

import pytest
import torch
from safetensors.torch import save_file

from vmc.training.tuned_weights import FORMAT, Delta
from vmc.utils.cache import Cache
from vmc.utils.errors import DamagedError, UnwritableError, VmcError
from vmc.utils.tensor_files import CHECKSUM, load_tensors, save_tensors

TENSORS = {
    "half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "none": torch.zeros(0, 4),
    "one": torch.tensor(3, dtype=torch.int64),
    "yes": torch.tensor([True, False]),
}


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def test_tensors_and_what_is_said_of_them_come_back(tmp_path):
    save_tensors(TENSORS, tmp_path / "a.safetensors", about={"step": 3, "groups": ("a", "b")})
    tensors, about = load_tensors(tmp_path / "a.safetensors")
    assert about.pop(CHECKSUM)
    assert about == {"step": 3, "groups": ["a", "b"]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_every_flipped_bit_is_found_or_harmless(tmp_path):
    file = tmp_path / "a.safetensors"
    save_tensors(TENSORS, file, about={"step": 3})
    content = file.read_bytes()
    found = 0
    for bit in range(len(content) * 8):
        file.write_bytes(content)
        flip(file, bit)
        try:
            tensors, about = load_tensors(file)
        except DamagedError:
            found += 1
            continue
        # A flip in the very word that names the checksum or the metadata: the rest is what was written.
        assert CHECKSUM not in about
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert found >= len(content) * 8 - 8 * len(f"vmc{CHECKSUM}__metadata__")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_cache_file_is_made_again_and_said(tmp_path, caplog, damage):
    cache = Cache(tmp_path)
    made = []

    def make(item):
        made.append(item)
        return {"tensor": torch.full((3,), float(item))}

    def read():
        return cache.tensors({"aa1": 1, "bb2": 2}, lambda: make, label="items")

    read()
    assert made == [1, 2]
    file = tmp_path / "aa" / "aa1.safetensors"
    content = file.read_bytes()
    if damage == "flip":
        flip(file, len(content) * 8 - 1)
    else:
        file.write_bytes({"cut": content[:-4], "empty": b"", "text": b"no tensors at all"}[damage])
    assert torch.equal(read()["aa1"]["tensor"], torch.ones(3))
    assert made == [1, 2, 1]
    assert f"the cache file {file} is damaged" in caplog.text
    assert "it is made again" in caplog.text
    caplog.clear()
    read()
    assert made == [1, 2, 1]
    assert not caplog.text


def test_a_cache_file_without_a_checksum_is_made_again_without_a_word(tmp_path, caplog):
    file = tmp_path / "aa" / "aa1.safetensors"
    file.parent.mkdir()
    save_file({"tensor": torch.zeros(3)}, file)
    found = Cache(tmp_path).tensors({"aa1": 1}, lambda: lambda item: {"tensor": torch.ones(3)}, label="items")
    assert torch.equal(found["aa1"]["tensor"], torch.ones(3))
    assert not caplog.text


def test_a_cache_that_cannot_be_written_names_its_setting(tmp_path):
    (tmp_path / "clip.mp4").write_text("a file")
    cache = Cache(tmp_path / "clip.mp4" / "latents")
    with pytest.raises(UnwritableError, match=r"mp4/latents/aa/aa1\S+ cannot be written .*cache=\.\.\. or VMC_CACHE"):
        cache.tensors({"aa1": 1}, lambda: lambda item: {"tensor": torch.ones(3)}, label="items")


def test_a_delta_of_another_content_is_refused_with_the_step_before(tmp_path):
    for step in (100, 200):
        Delta(tensors={"unet.a": torch.ones(3)}, about={"step": step}).save(tmp_path / f"{step:06d}.safetensors")
    file = tmp_path / "000200.safetensors"
    flip(file, file.stat().st_size * 8 - 3)
    with pytest.raises(VmcError, match=r"000200\.safetensors is damaged .*take those of an earlier step \(step=100\)"):
        Delta.load(file)
    flip(tmp_path / "000100.safetensors", (tmp_path / "000100.safetensors").stat().st_size * 8 - 3)
    with pytest.raises(VmcError, match=r"is damaged .*; train again or get the file again$"):
        Delta.load(tmp_path / "000100.safetensors")


def test_a_delta_without_a_checksum_still_loads(tmp_path):
    file = tmp_path / "000100.safetensors"
    save_file({"unet.a": torch.ones(3)}, file, metadata={"vmc": f'{{"format": "{FORMAT}", "step": 100}}'})
    assert Delta.load(file).about == {"step": 100}
