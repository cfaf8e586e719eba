"""Clips that the base model makes: once, whoever asks for them, and trained on as they are."""

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from vmc.data.clips import Clip
from vmc.data.prompts import jester_test_set, read_prompts
from vmc.data.video import read_frames
from vmc.diffusion.sampling import Sampler
from vmc.evaluate import main as evaluate
from vmc.evaluation import generation
from vmc.mini.world.test_set import TEST_SET
from vmc.models.latent_diffusion import ImageAutoencoder
from vmc.models.zeroscope import UNet3D
from vmc.training.hardware import Hardware
from vmc.training.synthetic_regularization import BaseVideos, SyntheticRegularization
from vmc.utils.errors import VmcError

PAPER = ["a person doing other things", "a person in front of a computer"]


@dataclass
class Related:
    """A source whose real clips differ from seed to seed, and their captions do not."""

    captions: Sequence[str] = ("a square", "a circle", "a square")

    def exemplars(self, **asked) -> list[Clip]:
        return []

    def regularization(self, *, seed: int) -> list[Clip]:
        return [
            Clip(path=Path(f"real-{seed}-{number}.mp4"), caption=caption, role="regularization")
            for number, caption in enumerate(self.captions)
        ]


@pytest.fixture
def synthetic(base, tmp_path):
    """A source of synthetic clips with a cache of its own."""

    def source(*, seed: int = 0, cache: Path | str = "cache", base: UNet3D = base, test_seeds=(), **changes):
        videos = BaseVideos(base=base, hardware=Hardware(), cache=tmp_path / cache, test_seeds=frozenset(test_seeds))
        settings = {"source": Related(), "sampler": Sampler(steps=1, guidance=2.0), **changes}
        return SyntheticRegularization(seed=seed, base_videos=videos, **settings)

    return source


@pytest.fixture(scope="module")
def made(base, tmp_path_factory) -> Path:
    """A cache that holds the set of `Related` already."""
    cache = tmp_path_factory.mktemp("made")
    videos = BaseVideos(base=base, hardware=Hardware(), cache=cache)
    source = Related()
    SyntheticRegularization(source=source, seed=0, base_videos=videos, sampler=Sampler(steps=1, guidance=2.0)).clips()
    return cache


@pytest.fixture
def written(monkeypatch) -> list[Path]:
    """The videos that are written from now on."""
    files, write = [], generation.write_video

    def note(path, frames_FCHW, *, fps):
        write(path, frames_FCHW, fps=fps)
        files.append(path)

    monkeypatch.setattr(generation, "write_video", note)
    return files


def content(clips: Sequence[Clip]) -> dict[str, bytes]:
    return {clip.path.name: clip.path.read_bytes() for clip in clips}


def test_one_clip_for_each_real_one_with_its_caption(synthetic, written):
    clips = synthetic().clips()
    assert sorted(clip.caption for clip in clips) == ["a circle", "a square", "a square"]
    assert {clip.role for clip in clips} == {"regularization"}
    assert written == [clip.path for clip in clips]
    assert read_frames(clips[0].path).shape == (8, 3, 64, 64)
    assert len(set(content(clips).values())) == 3, "every clip has a seed of its own"


def test_a_set_is_made_once_for_all_seeds_and_mixtures(synthetic, made, written):
    first = synthetic(cache=made).clips()
    assert synthetic(cache=made, seed=1, weight=1.0, mix="union").clips() == first
    assert synthetic(cache=made, captions={"a square": 2, "a circle": 1}).clips() == first
    assert not written
    (other,) = synthetic(captions={"a square": 1}, sampler=Sampler(steps=2, guidance=2.0)).clips()
    assert other.path.parent.name != first[0].path.parent.name


def test_the_set_says_what_it_was_made_with(synthetic, base, made):
    clips = synthetic(cache=made).clips()
    folder = clips[0].path.parent
    about = json.loads((folder / "set.json").read_text())
    assert about["base"]["unet"] == base.fingerprint("unet")
    assert (about["latents"], about["fps"], about["clips"]) == ([4, 8, 8, 8], 3.0, 3)
    assert about["sampler"] == {"steps": 1, "guidance": 2.0}
    table = pd.read_csv(folder / "captions.csv")
    assert list(table.columns) == ["file", "caption", "seed"]
    assert [(clip.path.name, clip.caption) for clip in clips] == list(zip(table["file"], table["caption"], strict=True))
    assert table["seed"].is_unique


def test_no_seed_is_one_of_the_test_sets(synthetic):
    prompts = synthetic(captions=dict.fromkeys(PAPER, 50))._prompts()
    seeds = {prompt.seed for prompt in prompts}
    assert len(seeds) == 100
    for file in (TEST_SET, jester_test_set()):
        tests = read_prompts(file, template="{subject}", token="sks", seeds=[])
        assert len(tests) == 300 and not seeds & {prompt.seed for prompt in tests}
    with pytest.raises(VmcError, match=f"share the seed {prompts[0].seed}"):
        synthetic(captions={PAPER[0]: 1}, test_seeds=[prompts[0].seed]).clips()


def test_an_interrupted_making_goes_on(synthetic, made, written, monkeypatch):
    whole = content(synthetic(cache=made).clips())
    note = generation.write_video

    def cut(path, frames_FCHW, *, fps):
        if len(written) == 2:
            (path.parent / ".0002-half.mp4-abcdefgh.tmp").mkdir()  # as a writer that is killed leaves it
            raise KeyboardInterrupt
        note(path, frames_FCHW, fps=fps)

    monkeypatch.setattr(generation, "write_video", cut)
    with pytest.raises(KeyboardInterrupt):
        synthetic().clips()
    monkeypatch.setattr(generation, "write_video", note)
    (folder,) = {path.parent for path in written}
    assert not (folder / "set.json").exists()
    clips = synthetic().clips()
    assert content(clips) == whole, "neither the interruption nor the order has a part in the clips"
    assert len(written) == 3, "what was there was not made again"
    assert not list(folder.glob(".*"))


def test_threads_have_no_part_in_the_clips(synthetic, made):
    one = content(synthetic(cache=made).clips())
    torch.set_num_threads(2)
    try:
        two = content(synthetic().clips())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert one == two


def test_who_comes_second_waits(synthetic, written, caplog):
    found: list[list[Clip]] = []
    with caplog.at_level("INFO"):
        makers = [threading.Thread(target=lambda: found.append(synthetic().clips())) for _ in range(2)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
    assert found[0] == found[1] and len(found[0]) == 3
    assert len(written) == 3
    assert "another process makes" in caplog.text


@pytest.fixture
def other_base(blank, base, tmp_path) -> UNet3D:
    """A base model whose autoencoder differs in one number."""
    folder = Path(shutil.copytree(blank, tmp_path / "other"))
    (file,) = (folder / "vae").glob("*.safetensors")
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    return replace(base, path=folder)


def test_a_set_is_taken_by_its_path_and_refused_where_it_does_not_fit(synthetic, base, other_base, made, tmp_path):
    clips = synthetic(cache=made).clips()
    folder = Path(shutil.copytree(clips[0].path.parent, tmp_path / "set"))
    taken = synthetic(path=folder, source=Related(captions=()), cache="empty").clips()
    assert content(taken) == content(clips) and taken[0].path.parent == folder
    assert not (tmp_path / "empty").exists()
    with pytest.raises(VmcError, match=r"another base model has made .*vae differs"):
        synthetic(path=folder, base=other_base).clips()
    with pytest.raises(VmcError, match=r"latents \[4, 8, 8, 8\], and this run's have \[4, 4, 8, 8\]"):
        synthetic(path=folder, base=replace(base, frames=4)).clips()
    with pytest.raises(VmcError, match=r"fps 3\.0, and this run's have 12\.0"):
        synthetic(path=folder, base=replace(base, fps=12.0)).clips()
    (folder / clips[1].path.name).unlink()
    with pytest.raises(VmcError, match=rf"1 of 3 clips are missing, first {clips[1].path.name}"):
        synthetic(path=folder).clips()
    with pytest.raises(VmcError, match=r"holds no set\.json"):
        synthetic(path=tmp_path).clips()


def flipped(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)


def test_what_is_damaged_in_the_cache_is_made_again(synthetic, made, written, tmp_path, caplog):
    shutil.copytree(made, tmp_path / "cache")
    clips = synthetic().clips()
    folder, whole = clips[0].path.parent, content(clips)
    about = (folder / "set.json").read_bytes()
    flipped(clips[1].path)
    assert content(synthetic().clips()) == whole and written == [clips[1].path]
    assert f"the synthetic clip {clips[1].path} is not as it was written; it is made again" in caplog.text
    flipped(folder / "captions.csv")
    assert content(synthetic().clips()) == whole and synthetic().clips() == clips
    for damage in (about[:100], b"[]", b"", b"\xff", about.replace(b'"sha256": {', b'"sha256": 5, "x": {')):
        (folder / "set.json").write_bytes(damage)
        assert synthetic().clips() == clips and (folder / "set.json").read_bytes() == about
    assert written == [clips[1].path], "the clips themselves were whole"


def test_a_set_of_an_earlier_version_gets_its_checksums(synthetic, made, written, tmp_path):
    shutil.copytree(made, tmp_path / "cache")
    clips = synthetic().clips()
    file = clips[0].path.with_name("set.json")
    about = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in about.items() if key != "sha256"}))
    assert synthetic(path=file.parent).clips() == clips
    assert synthetic().clips() == clips and not written
    assert json.loads(file.read_text()) == about


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("clip", None, r"0000-.*\.mp4 is not as it was written; copy the whole folder"),
        ("captions.csv", None, r"1 of 3 clips are missing, first 000.*; copy the whole folder"),
        ("captions.csv", b"file,caption,seed\n../x.mp4,a,1\n", r"1 of 1 clips are missing, first \.\./x\.mp4; copy"),
        ("captions.csv", b"file,caption,seed\nx.mp4,a,one\n", "captions.csv is damaged; copy"),
        ("set.json", b"{", r"set.json is damaged \(no model\); copy the whole folder"),
        ("set.json", b"\xff", r"set.json is damaged \(no model\); copy the whole folder"),
    ],
)
def test_a_damaged_set_that_is_named_is_refused(name, damage, sentence, synthetic, made, tmp_path):
    folder = shutil.copytree(synthetic(cache=made).clips()[0].path.parent, tmp_path / "set")
    file = next(folder.glob("0000-*.mp4")) if name == "clip" else folder / name
    flipped(file) if damage is None else file.write_bytes(damage)
    with pytest.raises(VmcError, match=rf"regularization.path is {folder}, .*{sentence}"):
        synthetic(path=folder).clips()


def test_a_clip_that_is_gone_from_the_cache_is_made_again(synthetic, made, written, tmp_path):
    shutil.copytree(made, tmp_path / "cache")
    clips = synthetic().clips()
    before = content(clips)
    clips[1].path.unlink()
    assert content(synthetic().clips()) == before
    assert written == [clips[1].path]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": Related(captions=())}, "no captions"),
        ({"source": Related(captions=["a {token} man"])}, r"holds '\{token\}'"),
        ({"captions": {"a man": 0}}, "0 clips of 'a man'"),
    ],
)
def test_what_cannot_be_made_is_said(synthetic, changes, words, tmp_path):
    with pytest.raises(VmcError, match=words):
        synthetic(**changes).clips()
    assert not (tmp_path / "cache").exists()


# --- in runs ---------------------------------------------------------------------------------------------------------

CAPTIONS = "regularization.captions={a square: 2, a circle: 1}"


def regularization_rows(run) -> list[str]:
    table = pd.read_csv(run.path / "clips.csv")
    return list(table[table["role"] == "regularization"]["path"])


def test_every_frame_of_a_clip_is_trained_on_in_order(train, monkeypatch, tmp_path):
    encoded = []
    encode = ImageAutoencoder.encode

    def note(autoencoder, frames_FCHW):
        encoded.append(frames_FCHW)
        return encode(autoencoder, frames_FCHW)

    monkeypatch.setattr(ImageAutoencoder, "encode", note)
    # The exemplars' window takes every fourth frame of a clip; a synthetic clip is a window already.
    own = ("data.fps=3", "sampler.steps=1", "steps=8", f"cache={tmp_path / 'cache'}")
    run = train("regularization=synthetic", CAPTIONS, *own)
    for path in regularization_rows(run):
        frames_FCHW = read_frames(Path(path))
        assert len(frames_FCHW) == 8 and not torch.equal(frames_FCHW, frames_FCHW.flip(0))
        assert sum(torch.equal(frames_FCHW, other) for other in encoded) == 1
    assert len(encoded) <= 3 * 3 + 3  # variants of three exemplars, and each of three clips once


def test_arms_and_seeds_share_a_set(train, written, tmp_path):
    own = (CAPTIONS, "sampler.steps=1", "steps=1", f"cache={tmp_path / 'cache'}")
    arms = [
        ["+ablation=reg_synthetic", "regularization=synthetic"],
        ["+baseline=dreambooth", "regularization=synthetic"],
    ]
    runs = [train(*arm, *own, f"seed={seed}", output=tmp_path / f"run{seed}") for seed, arm in enumerate(arms)]
    assert regularization_rows(runs[0]) == regularization_rows(runs[1])
    assert len(written) == 3


def test_nothing_is_written_where_the_set_is_refused(train, synthetic, other_base, made, tmp_path):
    folder = synthetic(cache=made).clips()[0].path.parent
    assert synthetic(base=other_base, captions={"a square": 1}).clips()[0].path.parent.name != folder.name
    with pytest.raises(VmcError, match="another base model has made"):
        train(f"model.path={other_base.path}", "regularization=synthetic", f"regularization.path={folder}")
    assert not (tmp_path / "run").exists()


def test_a_run_is_scored_later_against_the_clips_of_its_training(train, metrics, entered, written, tmp_path):
    cache = f"cache={tmp_path / 'cache'}"
    own = ("regularization=synthetic", CAPTIONS, cache, "evaluate_every=1", "prompts.limit=1", "steps=1")
    run = train(*metrics, *own)
    scores = run.evaluation(1) / "scores.csv"
    assert pd.read_csv(scores)["regularization_similarity"].notna().all()
    before = len(written)
    status, said = entered(evaluate, f"run={run.path}", cache, "output=anew")
    assert status == 0, said
    assert Path("anew/scores.csv").read_bytes() == scores.read_bytes()
    assert {path.parent.name for path in written[before:]} == {"videos"}
