"""The shipped weights: how they are put together, measured on tiny networks with random weights, and checked."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from vmc.config.folders import config_folder
from vmc.metrics.appearance import Appearance
from vmc.metrics.base import Record
from vmc.metrics.networks.sscd import SSCDNetwork
from vmc.metrics.networks.trn import TRN, save_trn
from vmc.mini.__main__ import main
from vmc.mini.card import shipping
from vmc.mini.card.bars import BARS, QUICK, SHOWN, Bar, CardPlan
from vmc.mini.card.copies import compared_with
from vmc.mini.card.intervals import Clustered, area, mean, per_item, percentile, share_of_clips
from vmc.mini.card.networks import Networks, Remembering
from vmc.mini.card.reading import check_card, read_card
from vmc.mini.card.rendered import spec_of, spec_of_subject
from vmc.mini.card.rules import appearance_threshold, copy_threshold
from vmc.mini.card.settings import read_settings, stack_file
from vmc.mini.card.videos import Maker, known_videos, language_videos
from vmc.mini.card.videos import test_videos as asked_of_test_set
from vmc.mini.makers.appearance.network import make_model, write_model
from vmc.mini.world.gestures import KNOWN, TARGETS
from vmc.mini.world.jester_folder import write
from vmc.models.zeroscope import UNet3D
from vmc.tools.learning.training import STATE
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import with_value, write_thresholds

WRITTEN = ("card.json", "README.md")
ONE_STEP = "sampler: {steps: 1}\n"
"""Appended to a stack: videos that are made quickly."""


@pytest.fixture(scope="module")
def weights(blank, tmp_path_factory):
    """A folder of weights in the published formats, all of them random."""
    folder = tmp_path_factory.mktemp("shipped") / "weights"
    shutil.copytree(blank, folder / "pipeline")
    torch.manual_seed(0)
    arch = "SmallResNet"
    save_trn(TRN(arch=arch, classes=27), folder / "classifier.pth.tar", arch=arch, epoch=1, accuracy=1)
    write_model(make_model(0), folder / "appearance")
    network = SSCDNetwork(bottleneck=False, layers=[1, 1, 1, 1], width=16, stem=4).requires_grad_(False).eval()
    torch.jit.trace(network, torch.rand(1, 3, 64, 64)).save(str(folder / "copying.torchscript.pt"))
    return folder


@pytest.fixture(scope="module")
def measured(weights, tmp_path_factory):
    """The folder that a quick measurement wrote into."""
    folder = tmp_path_factory.mktemp("card")
    write(folder / "jester", per_class=3, classes=TARGETS, train_per_class=0, test_clips=0, workers=1)
    (folder / "mini.yaml").write_text(stack_file().read_text() + ONE_STEP)
    places = {"weights": weights, "output": folder / "videos", "sheets": folder / "sheets", "jester": folder / "jester"}
    words = [word for name, place in places.items() for word in (f"--{name}", str(place))]
    words += ["--quick", "--threads", "1", "--stack", str(folder / "mini.yaml")]
    assert main(["card", *words]) == 0
    return folder


def test_a_quick_measurement_replaces_nothing_that_ships(weights, tmp_path, capsys):
    for words in ([], ["--weights", str(weights)], ["--weights", str(weights), "--stack", str(tmp_path / "mini.yaml")]):
        assert main(["card", "--quick", *words]) == 2
        assert "--quick would replace the shipped card" in capsys.readouterr().err


def test_the_card_has_every_key_and_the_page_every_bar(measured, weights):
    card, page = check_card(weights), (weights / "README.md").read_text()
    for name, bar in BARS.items():
        assert set(card[name]) == {"value", "low", "high"}
        assert not bar.share or 0 <= card[name]["value"] <= 1
        assert f"| `{name}` |" in page
    assert set(card["targets_language"]) == set(card["targets_token"]) == set(TARGETS)
    assert set(card["known_gestures"]) <= set(KNOWN)
    assert set(card["thresholds"]) == {"appearance", "copy"}
    assert card["seconds_300_videos"]["value"] > 0
    assert "pipeline/unet/config.json" in card["hashes"]["files"] and "card.json" not in card["hashes"]["files"]
    assert card["made"]["command"] == "python -m vmc.mini card --quick --threads 1"
    assert card["made"]["machine"]["threads"] == 1 and card["made"]["counts"]["clips"] == 4
    assert str(weights) not in json.dumps(card)


def test_the_thresholds_are_in_the_stack_and_all_else_is_as_it_was(measured, weights):
    before = yaml.safe_load(stack_file().read_text() + ONE_STEP)
    text, card = (measured / "mini.yaml").read_text(), read_card(weights)
    after = yaml.safe_load(text)
    assert after["search"]["appearance"] == card["thresholds"]["appearance"]["value"]
    assert after["metrics"]["copy_threshold"] == card["thresholds"]["copy"]["value"]
    search = before["search"] | {"appearance": after["search"]["appearance"]}
    assert {**before, "search": search, "metrics": after["metrics"]} == after
    assert all(line.split("#")[1] in text for line in stack_file().read_text().splitlines() if "#" in line)


def test_what_is_said_of_copies_is_measured_anew_alone(measured, weights):
    before, stack = read_card(weights), measured / "mini.yaml"
    kept, page, text = (weights / "card.json").read_text(), (weights / "README.md").read_text(), stack.read_text()
    also = {name: figure for name, figure in before["also"].items() if not name.startswith("cop")}
    changed = {**before, "copied_base": {"value": 0.5, "low": None, "high": None}, "also": also}
    (weights / "card.json").write_text(json.dumps(changed))
    write_thresholds(stack, {"copy": 0.123})
    places = {"weights": weights, "output": measured / "videos", "jester": measured / "jester", "stack": stack}
    words = [word for name, place in places.items() for word in (f"--{name}", str(place))]
    assert main(["card", "--copying", "--quick", "--threads", "1", *words]) == 0
    after = read_card(weights)
    made = after["made"].pop("copying")
    assert after == before and stack.read_text() == text
    assert made["command"] == "python -m vmc.mini card --copying --threads 1"
    assert "measured anew" in (weights / "README.md").read_text()
    (weights / "card.json").write_text(kept)
    (weights / "README.md").write_text(page)


def test_videos_are_not_made_again(measured, weights):
    videos = {file: file.stat().st_mtime_ns for file in (measured / "videos").rglob("*.mp4")}
    assert len(videos) == 2 * 3 + 2 + 5
    networks = Networks(weights, read_settings(measured / "mini.yaml"))
    maker, asked = Maker(networks, measured / "videos", threads=1), asked_of_test_set(networks, QUICK)
    assert set(maker.make("test", asked)) == {file for file in videos if file.parent.name == "test"}
    assert {file: file.stat().st_mtime_ns for file in videos} == videos
    assert maker.seconds("test", asked) == read_card(weights)["seconds_300_videos"]


def test_sheets_show_the_videos(measured):
    with Image.open(measured / "sheets" / "known_gestures.png") as sheet:
        assert sheet.size == (190 + 4 * 66, 16 + 2 * 66)
    with Image.open(measured / "sheets" / "base_subjects.png") as sheet:
        assert sheet.size == (2 * 130, 130)


def test_a_card_is_refused_when_weights_or_renderer_are_others(measured, weights, monkeypatch, capsys):
    assert main(["card", "--check", "--weights", str(weights)]) == 0
    for name in ("classifier.pth.tar", "pipeline/unet/config.json"):
        content = (weights / name).read_bytes()
        (weights / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert main(["card", "--check", "--weights", str(weights)]) == 2
        assert f"another {name}; `python -m vmc.mini card` measures" in capsys.readouterr().err
        (weights / name).write_bytes(content)
    monkeypatch.setattr("vmc.mini.card.reading.renderer_hash", lambda: "other")
    with pytest.raises(VmcError, match=r"another renderer; `python -m vmc\.mini card`"):
        check_card(weights)


def test_what_was_tried_is_noted_without_measuring(measured, weights, capsys):
    before = read_card(weights)
    assert main(["card", "--weights", str(weights), "--tried", "copy_auc=a wider network | longer"]) == 0
    assert read_card(weights) == {**before, "tried": {"copy_auc": "a wider network | longer"}}
    assert "- `copy_auc`: a wider network" in (weights / "README.md").read_text()
    assert main(["card", "--weights", str(weights), "--tried", "all"]) == 2
    assert "give KEY=TEXT, KEY one of classifier_accuracy" in capsys.readouterr().err
    (weights / "card.json").write_text(json.dumps(before))


def test_a_missing_or_broken_card_is_refused(tmp_path):
    with pytest.raises(VmcError, match=r"does not exist; `python -m vmc\.mini card`"):
        read_card(tmp_path)
    for text in ("{", "[]", "{}", '{"classifier_accuracy": 0.9}'):
        (tmp_path / "card.json").write_text(text)
        with pytest.raises(VmcError, match=r"(does not read|has no classifier_accuracy).*`python -m vmc\.mini card`"):
            read_card(tmp_path)


def test_missing_and_truncated_weights_are_named(weights, tmp_path):
    settings = read_settings(stack_file())
    with pytest.raises(VmcError, match=r"no folder pipeline; run `python -m vmc\.mini ship`"):
        Networks(tmp_path, settings)
    for name in ("classifier.pth.tar", "appearance/open_clip_model.safetensors", "copying.torchscript.pt"):
        broken = tmp_path / name.partition(".")[0].replace("/", "-")
        shutil.copytree(weights, broken)
        (broken / name).write_bytes((weights / name).read_bytes()[:1000])
        with pytest.raises(VmcError, match=name.partition("/")[0]):
            Networks(broken, settings)
        (broken / name).unlink()
        with pytest.raises(VmcError, match=name.partition("/")[0]):
            Networks(broken, settings)
        shutil.rmtree(broken)


def test_features_and_similarities_are_the_metrics_own(weights):
    networks = Networks(weights, read_settings(stack_file()))
    frames = torch.randint(0, 256, (3, 8, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    phrases = ["A firefighter", "A chef", "A doctor"]
    records = [Record(video=f"{phrase}.mp4", prompt="", subject=phrase, seed=0) for phrase in phrases]
    scored = Appearance(model=networks.appearance).score(frames, records)
    cosines = networks.features(frames) @ networks.texts(phrases).T
    assert cosines.diagonal().tolist() == pytest.approx(scored["appearance"], abs=1e-6)
    exemplars = [("clip", frames[0])]
    remembering = compared_with(Remembering(networks.copying), exemplars)
    plain = compared_with(networks.copying, exemplars)
    assert remembering.score(frames, records) == remembering.score(frames, records) == plain.score(frames, records)


def test_the_copy_threshold_is_the_99th_percentile_of_others():
    values = [index / 1000 for index in range(1001)]
    found = copy_threshold(Clustered(values, [str(index) for index in range(1001)]))
    assert found["value"] == 0.99
    assert 0.97 < found["low"] < 0.99 < found["high"] < 1
    few = copy_threshold(Clustered(np.repeat(values[::100], 3).tolist(), np.repeat(range(11), 3).astype(str).tolist()))
    assert few["low"] < found["low"]


def test_the_kind_of_uncopied_videos_that_is_nearest_to_copies_sets_the_threshold():
    low, high = (
        Clustered([start + index / 1000 for index in range(101)], list("ab") * 50 + ["c"]) for start in (0, 0.5)
    )
    assert copy_threshold(low, high) == copy_threshold(high, low) == copy_threshold(high)
    assert copy_threshold(high)["value"] == pytest.approx(0.599)


def test_the_appearance_threshold_is_a_third_of_the_way_down():
    subjects = [f"subject {index // 3}" for index in range(30)]
    found = appearance_threshold([0.3, 0.36, 0.33] * 10, [0.03] * 30, subjects)
    assert found == {"value": 0.23, "low": 0.23, "high": 0.23}
    with_invalid = appearance_threshold([0.3, math.nan, 0.36] * 10, [0.03, math.nan, 0.03] * 10, subjects)
    assert with_invalid["value"] == 0.23


def test_intervals_of_hand_made_numbers():
    assert share_of_clips([True] * 19 + [False])["value"] == 0.95
    assert share_of_clips([True] * 20)["low"] == pytest.approx(0.025 ** (1 / 20))
    clustered, single = (
        mean([1.0, 0.0] * 30, names, share=True) for names in (["a", "b"] * 30, list(map(str, range(60))))
    )
    assert clustered["value"] == single["value"] == 0.5
    assert clustered["high"] - clustered["low"] > 2 * (single["high"] - single["low"])
    apart = area(Clustered([0.9, 0.8], ["a", "b"]), Clustered([0.1, 0.2, 0.3], ["c", "d", "e"]))
    assert apart["value"] == 1 and apart["low"] < 0.5
    assert area(Clustered([0.5, 0.2], ["a", "b"]), Clustered([0.5, 0.1], ["c", "d"]))["value"] == (0.5 + 1 + 0 + 1) / 4
    assert percentile(Clustered([1.0, 3.0], ["a", "a"]), 50) == {"value": 2.0, "low": None, "high": None}
    seconds = per_item([8, 8, 4], [4.0, 6.0, 2.5], 300)
    assert seconds["value"] == 300 * 12.5 / 20 and seconds["low"] < seconds["value"] < seconds["high"]


def test_bars_are_met_from_either_side():
    assert Bar(what="", least=0.9).met(0.9) and not Bar(what="", least=0.9).met(0.89)
    assert Bar(what="", most=0.05).met(0.0) and not Bar(what="", most=0.05).met(0.06)
    assert Bar(what="").met(0.5) is None and Bar(what="", least=0.9).met(None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stop: {appearance: null}   # set by hand\nb: 2\n", "stop: {appearance: 0.25}   # set by hand\nb: 2\n"),
        ("stop: {x: 1, appearance: 0.1, y: 2}\n", "stop: {x: 1, appearance: 0.25, y: 2}\n"),
        (
            "stop:\n  # a\n  x: 1\n  appearance: 0.1  # b\nc: 3\n",
            "stop:\n  # a\n  x: 1\n  appearance: 0.25  # b\nc: 3\n",
        ),
        ("stop:\n  appearance: 0.125    # a\n", "stop:\n  appearance: 0.25     # a\n"),
    ],
)
def test_a_number_is_put_in_place(text, expected):
    assert with_value(text, "stop", "appearance", 0.25) == expected


def test_a_stack_that_is_not_understood_is_left_alone(tmp_path):
    for text in ("search:\n  x: 1\n", "a: [1\n"):
        (tmp_path / "mini.yaml").write_text(text)
        with pytest.raises(VmcError, match=r"--stack is .*mini\.yaml"):
            write_thresholds(tmp_path / "mini.yaml", {"appearance": 0.25})
        assert (tmp_path / "mini.yaml").read_text() == text


def test_the_five_targets_share_their_prompt():
    motions = [yaml.safe_load(file.read_text()) for file in (config_folder() / "motion").glob("*.yaml")]
    prompts = {motion["prompt"] for motion in motions if motion.get("label") in TARGETS}
    assert prompts == {read_settings(stack_file()).template}


def test_the_card_opens_what_runs_open(weights):
    metrics = yaml.safe_load((config_folder() / "metrics" / "mini.yaml").read_text())
    networks = Networks(weights, read_settings(stack_file()))
    for name in ("classifier", "appearance", "copying"):
        assert getattr(networks, name).path == weights / metrics[name]["path"]["name"]
    assert networks.copying.short_side == metrics["copying"]["short_side"]
    places = {place for source in shipping.SOURCES.values() for _, place in source.files}
    assert {place.partition("/")[0] for place in places} == {file.name for file in weights.iterdir()} - set(WRITTEN)


def test_what_the_base_model_is_asked(weights):
    plan = CardPlan()
    asked = asked_of_test_set(Networks(weights, read_settings(stack_file())), plan)
    assert len(asked) == 300 and asked[0].prompt.text == "A firefighter doing the sks sign."
    known, language = known_videos(plan), language_videos(plan)
    assert len(known) == 16 * 20 and len(language) == 5 * 60
    for gesture in KNOWN:
        subjects = [one.prompt.subject for one in known if one.gesture == gesture]
        assert len(set(subjects)) == 20 and subjects[:SHOWN] == [one.prompt.subject for one in known[:SHOWN]]
    assert len({one.prompt.subject for one in known}) == 100
    assert known[0].prompt.text == "A firefighter pulling hand in"


def test_look_alikes_are_dressed_and_filmed_as_exemplars_and_in_no_folder_of_them():
    alike = spec_of(100_000, "Swiping Down", pool="exemplars")
    assert (alike.persons[0].pool, alike.framing, alike.gestures) == ("exemplars", "webcam", ("Swiping Down",))
    assert alike.persons[0].number < 1_000_000  # at which those of a Jester folder begin


def test_rendered_clips_are_the_cards_own_people():
    specs = [spec_of(number, "Swiping Down") for number in range(4)]
    assert {spec.persons[0].pool for spec in specs} == {"card"} and {spec.framing for spec in specs} == {"webcam"}
    first, second = (spec_of_subject("A chef", 1, number) for number in (0, 1))
    assert first.framing != second.framing and first.persons[0].traits != second.persons[0].traits
    assert first.persons[0].occupation == "chef" and first == spec_of_subject("A chef", 1, 0)


@pytest.fixture
def trained(tmp_path):
    """Folders of finished trainings with small files."""
    for source in shipping.SOURCES.values():
        folder = tmp_path / "trained" / source.folder
        about = {"identity": {"seed": 3}, "step": 5, "steps": 5, "seconds": 60.4}
        about |= {"vae_step": 2, "vae_steps": 2} if source.folder == "pretraining" else {}
        for written, _ in source.files:
            for file in [f"{part}/{file}" for part, file in UNet3D.parts.items()] if written == "pipeline" else [""]:
                place = folder / written / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(f"{source.folder} {file}")
        save_file({"empty": torch.zeros(1)}, folder / STATE, metadata={"vmc": json.dumps(about)})
    return tmp_path / "trained"


def ship(trained, output, *more) -> int:
    return main(["ship", "--trained", str(trained), "--output", str(output), *more])


def test_shipping_copies_all_networks_and_says_how_they_were_trained(trained, tmp_path):
    output = tmp_path / "weights"
    output.mkdir()
    for name in ("card.json", "left.txt"):
        (output / name).write_text("old")
    for _ in range(2):
        assert ship(trained, output) == 0
    found = {file.relative_to(output).as_posix() for file in output.rglob("*") if file.is_file()}
    pipeline = {f"pipeline/{part}/{file}" for part, file in UNet3D.parts.items()}
    appearance = {"appearance/open_clip_config.json", "appearance/open_clip_model.safetensors"}
    own = {"classifier.pth.tar", "copying.torchscript.pt", "trainings.json", "card.json"}
    assert found == pipeline | appearance | own
    said = json.loads((output / "trainings.json").read_text())
    assert said["copying"] == {
        "seed": 3,
        "step": 5,
        "steps": 5,
        "seconds": 60,
        "finished": True,
        "identity": {"seed": 3},
    }
    assert said["pipeline"]["vae_steps"] == 2
    assert {file.name for file in tmp_path.iterdir()} == {"trained", "weights"}


def change_state(folder, **changes) -> None:
    about = {"identity": {"seed": 3}, "step": 5, "steps": 5, "seconds": 60.4} | changes
    save_file({"empty": torch.zeros(1)}, folder / STATE, metadata={"vmc": json.dumps(about)})


def test_shipping_refuses_what_is_not_whole(trained, tmp_path, monkeypatch, capsys):
    output = tmp_path / "weights"

    def refused(words: str, *more) -> None:
        assert ship(trained, output, *more) == 2
        assert words in capsys.readouterr().err
        assert not output.exists()

    (trained / "pretraining" / "pipeline" / "vae" / "config.json").rename(tmp_path / "kept")
    refused("vae/config.json does not exist; `python -m vmc.mini pipeline` writes it")
    (tmp_path / "kept").rename(trained / "pretraining" / "pipeline" / "vae" / "config.json")
    monkeypatch.setattr(shipping, "MOST_BYTES", 50)
    refused("take 0.0 MB together, more than 0")
    monkeypatch.undo()
    change_state(trained / "copying", step=4)
    refused("has done 4 of 5 steps; `python -m vmc.mini copying --minutes 0` goes on, or give --unfinished")
    change_state(trained / "copying", vae_step=1, vae_steps=2)
    refused("--unfinished")
    change_state(trained / "copying", identity={"renderer": "other"})
    refused("another renderer", "--unfinished")
    (trained / "copying" / STATE).write_bytes(b"12345678")
    refused("is damaged")
    (trained / "copying" / STATE).unlink()
    refused("does not exist")


def test_shipping_takes_unfinished_trainings_when_told(trained, tmp_path):
    change_state(trained / "copying", step=4)
    assert ship(trained, tmp_path / "weights", "--unfinished") == 0
    assert json.loads((tmp_path / "weights" / "trainings.json").read_text())["copying"]["finished"] is False


def test_shipping_one_network_leaves_the_others(trained, tmp_path):
    output = tmp_path / "weights"
    shipping.ship(trained, output)
    for name in ("classifier", "copying"):
        for written, _ in shipping.SOURCES[name].files:
            (trained / name / written).write_text(f"{name}, better")
    shipping.ship(trained, output, only=["copying"])
    assert (output / "copying.torchscript.pt").read_text() == "copying, better"
    assert (output / "classifier.pth.tar").read_text() == "classifier "
    assert set(json.loads((output / shipping.TRAININGS).read_text())) == set(shipping.SOURCES)
    assert (output / "pipeline/vae/config.json").read_text() == "variety-3 vae/config.json"
    shipping.ship(trained, output, only=["variety"])
    assert (output / "pipeline/vae/config.json").read_text() == "variety vae/config.json"
    assert set(json.loads((output / shipping.TRAININGS).read_text())) == set(shipping.SOURCES) - {
        "variety_2",
        "variety_3",
    }
    with pytest.raises(VmcError, match="--only names unet; choose from pipeline"):
        shipping.ship(trained, output, only=["unet"])
