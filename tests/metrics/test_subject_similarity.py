"""Similarity to stills: the mean cosine of all pairs, higher for the person of the stills than for anybody else."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from vmc.config.trusted_classes import is_allowed
from vmc.data.subject_images import Stills
from vmc.metrics.base import Record, RunContext
from vmc.metrics.networks.files import ImageTextNetwork
from vmc.metrics.networks.sscd import CopyNetwork
from vmc.metrics.subject_similarity import SubjectSimilarity
from vmc.mini.shipped import shipped
from vmc.mini.world.people import sample_person
from vmc.mini.world.renderer import ClipSpec, render
from vmc.mini.world.stills import subject_person, write
from vmc.utils.errors import VmcError

MEASURES = ("subject_similarity", "subject_similarity_clip")


@pytest.fixture(scope="module")
def networks():
    copying = CopyNetwork(path=shipped("copying.torchscript.pt"), short_side=64)
    return {"descriptor": copying, "encoder": ImageTextNetwork(path=shipped("appearance"))}


def videos(*persons) -> torch.Tensor:
    """videos_BFCHW of persons who swipe in a place that no still shows."""
    specs = [ClipSpec(persons=(who,), gestures=("Swiping Down",), place="in the snow", seed=9) for who in persons]
    return torch.stack([torch.from_numpy(render(spec, 64)[::4]).permute(0, 3, 1, 2) for spec in specs])


def records(count: int) -> list[Record]:
    return [Record(video=f"{number}.mp4", prompt="pll") for number in range(count)]


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_score_is_the_mean_cosine_of_all_frames_and_stills(networks):
    stills = [("one", noise(1, 3, 64, 64)), ("two", noise(1, 3, 48, 80))]
    metric = SubjectSimilarity(stills=stills, **networks).begin(RunContext())
    frames = noise(2, 4, 3, 64, 64)
    found = metric.score(frames, records(2))
    encoders = (networks["descriptor"], networks["encoder"].encode_frames)
    for name, encode in zip(MEASURES, encoders, strict=True):
        with torch.no_grad():
            still_SD = F.normalize(torch.cat([encode(still) for _, still in stills]), dim=-1)
            frame_BFD = F.normalize(torch.stack([encode(video) for video in frames]), dim=-1)
        assert found[name] == pytest.approx((frame_BFD @ still_SD.T).mean((1, 2)).tolist(), abs=1e-5)
    alone = SubjectSimilarity(stills=stills, descriptor=networks["descriptor"], encoder=None)
    assert [column.name for column in alone.columns] == ["subject_similarity"]
    assert alone.begin(RunContext()).score(frames, records(2)).keys() == {"subject_similarity"}


def test_the_person_of_the_stills_scores_higher_than_others(networks, tmp_path):
    write(tmp_path / "stills")
    metric = SubjectSimilarity(stills=Stills(path=tmp_path / "stills", size=64), **networks).begin(RunContext())
    person = subject_person()
    others = [sample_person("card", number) for number in range(4)]
    others += [replace(person, traits=replace(person.traits, cloth_shift=(0, 0, 0), hair_shift=(0, 0, 0)))]
    for name, values in metric.score(videos(person, *others), records(6)).items():
        assert values[0] > max(values[1:]) + 0.1, name
    about = metric.describe()
    assert about["stills"]["count"] == 8 and len(about["descriptor"]["sha256"]) == len(about["encoder"]["sha256"]) == 64
    Image.new("RGB", (70, 50), "red").save(tmp_path / "stills" / "red.png")
    assert metric.begin(RunContext()).describe()["stills"] != about["stills"]


def test_stills_are_needed_and_a_network(networks, tmp_path):
    with pytest.raises(VmcError, match=r"metrics\.subject_similarity\.stills\.path is not set"):
        Stills(path=None, size=64)
    with pytest.raises(VmcError, match="neither descriptor nor encoder"):
        SubjectSimilarity(stills=[], descriptor=None, encoder=None)
    with pytest.raises(VmcError, match="holds no stills; give a folder"):
        SubjectSimilarity(stills=[], **networks).begin(RunContext())
    with pytest.raises(VmcError, match=r"a video has values of torch\.int64"):
        SubjectSimilarity(stills=[("one", torch.zeros(1, 3, 8, 8).long())], **networks).begin(RunContext())


def test_a_run_that_was_scored_with_it_may_be_read_again():
    """The YAML takes its networks from other places of the config; in a run's config they stand here."""
    place = "metrics.subject_similarity"
    assert is_allowed(f"{place}.descriptor", "vmc.metrics.networks.sscd.CopyNetwork")
    assert is_allowed(f"{place}.descriptor.path", "vmc.mini.shipped.shipped")
    assert is_allowed(f"{place}.encoder.path", "vmc.mini.shipped.shipped")
    assert is_allowed(f"{place}.stills.path", "vmc.mini.world.stills.default_folder")
    assert not is_allowed(f"{place}.descriptor", "vmc.metrics.networks.files.ImageTextNetwork")
