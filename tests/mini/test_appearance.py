import json
import math

import numpy as np
import pytest
import torch

from vmc.metrics.networks.open_clip import load_image_text
from vmc.mini import __main__ as mini
from vmc.mini.makers.appearance import frames, measuring, network, training
from vmc.mini.makers.appearance.attributes import CLASSES, UNKNOWN, attribute_loss, classes_of, make_heads
from vmc.mini.makers.appearance.sentences import Content, altered, draw_content, draw_single, facts_of, true_of
from vmc.mini.world.gestures import PHRASES
from vmc.mini.world.people import generator as numpy_generator
from vmc.mini.world.phrases import attributes, person_from_phrase
from vmc.mini.world.renderer import ClipSpec
from vmc.tools.learning.training import TrainOptions
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator


@pytest.fixture(scope="module")
def model():
    """Random weights, the token table too: at first all words are alike."""
    model = network.make_model(0)
    torch.nn.init.normal_(model.token_embedding.weight, std=0.5, generator=generator("table"))
    return model.eval()


@pytest.fixture(scope="module")
def batches(blank):
    made = training.Batches(clips=6, pipeline=blank, seed=3, batch=5)
    for shards in (made.rendered, made.decoded):
        assert shards.prepare(workers=1)
    return made


def test_a_caption_is_true_of_its_clip_and_its_altered_form_is_not():
    random = numpy_generator("test")
    for number in range(300):
        spec = frames.spec_of(number)
        content = (draw_content if number % 2 else draw_single)(spec, random)
        own, wrong = content.sentence(), altered(content, random).sentence()
        assert own.text != wrong.text
        assert true_of([own, wrong], [facts_of(spec)]) == [[True, False]]
        assert len(own.facts ^ wrong.facts) == 2, "one thing is said otherwise"


def test_altered_persons_are_of_the_vocabulary():
    random = numpy_generator("vocabulary")
    drawn = []
    for number in range(200):
        content = draw_content(frames.spec_of(number), random)
        if not (content.gesture or content.place):
            text = altered(content, random).sentence().text
            person = person_from_phrase(text)
            drawn.append((person.occupation or person.kind) in text.lower() or "person" in text.lower())
    assert len(drawn) > 10 and all(drawn)


def test_test_subjects_are_said_as_the_test_set_says_them():
    for index, subject in enumerate(measuring.subjects()):
        spec = measuring.spec_of_subject(index)
        parts = [part for part in attributes(spec.persons[0]) if part != "skin"]
        texts = set()
        for chosen in range(2 ** len(parts)):
            said = tuple(part for place, part in enumerate(parts) if chosen >> place & 1)
            texts.add(Content(spec=spec, parts=said).sentence().text)
        assert subject.lower() in texts


def test_facts_tell_which_other_clips_a_caption_fits():
    person = person_from_phrase("A man with a red hat in a blue shirt")
    spec = ClipSpec(persons=(person,), gestures=("Thumb Up",), place="in a park")
    hat = Content(spec=spec, parts=("red hat",)).sentence()
    thumb = Content(spec=spec, parts=(), generic=True, gesture=True).sentence()
    assert (hat.text, thumb.text) == ("a man with a red hat", f"a person {PHRASES['Thumb Up']}")
    other = ClipSpec(persons=(person_from_phrase("A man with a red hat in a black suit"),), gestures=("Thumb Down",))
    robot = ClipSpec(persons=(person_from_phrase("A robot"),), gestures=("Thumb Up",))
    assert true_of([hat, thumb], [facts_of(other), facts_of(robot)]) == [[True, False], [False, True]]


def test_the_classes_of_a_clip_are_what_it_shows():
    def shown(phrase: str) -> dict[str, str]:
        spec = ClipSpec(persons=(person_from_phrase(phrase),), gestures=("Thumb Up",), place="in a park")
        pairs = zip(CLASSES.items(), classes_of(spec), strict=True)
        return {name: options[place] for (name, options), place in pairs if place != UNKNOWN}

    girl = shown("A girl with a green bun, an eye patch and a red hat in a blue dress")
    skin = girl.pop("skin")
    assert girl == {
        "place": "in a park",
        "gesture": "Thumb Up",
        "noun": "girl",
        "clothes": "dress",
        "clothes colour": "blue",
        "hair": "bun",
        "hair colour": "green",
        "head": "hat",
        "eyes": "eye patch",
        "mouth": "",
        "neck": "",
        "head colour": "red",
    }
    assert skin in ("light", "tanned", "brown")
    assert shown("A robot") == {"place": "in a park", "gesture": "Thumb Up", "noun": "robot"}
    assert "hair colour" not in shown("A bald man with headphones")


def test_attributes_that_are_not_shown_cost_nothing():
    with torch.no_grad():
        logits = make_heads(6, seed=0)(torch.randn(8, 6, generator=generator("features")))
    nothing = [[UNKNOWN] * len(CLASSES)] * 8
    assert float(attribute_loss(logits, nothing)) == 0
    seen = [[3, *one[1:]] for one in nothing]
    each = torch.nn.functional.cross_entropy(logits[:, : len(CLASSES["place"])], torch.full((8,), 3), reduction="none")
    assert float(attribute_loss(logits, seen)) == pytest.approx(float(each.mean()) / len(CLASSES), rel=1e-5)
    once = attribute_loss(logits, [seen[0], *nothing[1:]])
    assert float(once) == pytest.approx(float(each[0]) / 8 / len(CLASSES), rel=1e-5)


def test_texts_are_encoded_as_open_clip_encodes_them(model):
    tokens = network.tokenizer()(["A nurse", "An old man with curly white hair and a red cap swiping hand down."])
    with torch.no_grad():
        assert torch.allclose(network.encode_texts(model, tokens), model.encode_text(tokens, normalize=True), atol=1e-5)


def test_the_longest_captions_fit_the_context():
    random, longest = numpy_generator("long"), 0
    for number in range(200):
        spec = frames.spec_of(number)
        full = Content(spec=spec, parts=attributes(spec.persons[0]), gesture=True, place=True, sign=number % 2 == 0)
        tokens = network.tokenizer()([full.sentence().text + ".", altered(full, random).sentence().text])
        longest = max(longest, int(tokens.argmax(1).max()))
    assert longest < network.CONTEXT - 4


def test_a_text_that_is_true_of_an_image_is_no_negative_of_it(model):
    images_BD = torch.randn(2, network.MODEL["embed_dim"], generator=generator("images"))
    tokens = network.tokenizer()(["a nurse", "a king", "a queen", "a robot"])
    true = torch.tensor([[True, True, False, False], [False, True, False, False]])
    with torch.no_grad():
        loss = network.contrastive_loss(model, images_BD, [(tokens, true)])
        cosine = torch.nn.functional.normalize(images_BD) @ model.encode_text(tokens, normalize=True).T
        logits = (cosine * model.logit_scale.exp()).tolist()

    def surprise(own: float, others: list[float]) -> float:
        return math.log(sum(math.exp(value - own) for value in [own, *others]))

    (a, _, b, c), (d, e, f, g) = logits
    by_image = (surprise(a, [b, c]) + surprise(e, [d, f, g])) / 2
    by_text = (surprise(a, [d]) + surprise(e, [])) / 2
    assert float(loss) == pytest.approx((by_image + by_text) / 2, abs=1e-4)
    with torch.no_grad():
        both = network.contrastive_loss(model, images_BD, [(tokens, true), (tokens[:2], true[:, :2])])
    by_image = (surprise(a, []) + surprise(e, [d])) / 2
    assert float(both) == pytest.approx((float(loss) + (by_image + by_text) / 2) / 2, abs=1e-4)


def test_augmented_frames_are_moved_softened_and_lit_but_never_flipped():
    ramp = torch.linspace(0.2, 0.8, 64).expand(40, 3, 64, 64)
    changed = frames.augmented(ramp, generator("augmented"))
    assert torch.equal(changed, frames.augmented(ramp, generator("augmented")))
    assert ((changed[..., 48:].mean((1, 2, 3)) - changed[..., :16].mean((1, 2, 3))) > 0.3).all()
    assert (changed - ramp).abs().max() < 0.25
    assert (changed[0] - changed[1]).abs().mean() > 0.001


def test_batches_are_a_function_of_seed_and_step(batches, blank):
    again = training.Batches(clips=6, pipeline=blank, seed=3, batch=5)
    clips, images = batches.pictures(7)
    assert clips == again.pictures(7)[0] and torch.equal(images, again.pictures(7)[1])
    assert not torch.equal(images, again.pictures(8)[1])
    assert images.shape == (5, 3, 64, 64)
    for group, same, count in zip(batches.captions(clips, 7), again.captions(clips, 7), (15, 10), strict=True):
        tokens, true = group
        assert torch.equal(tokens, same[0]) and torch.equal(true, same[1])
        assert tokens.shape == (count, network.CONTEXT) and true.shape == (5, count)
        assert true[:, :5].diagonal().all()
        assert not any(true[:, first : first + 5].diagonal().any() for first in range(5, count, 5))


def test_frames_after_the_autoencoder_are_of_the_same_clips(batches):
    rendered, decoded = batches.rendered.items(range(6)), batches.decoded.items(range(6))
    assert rendered.shape == (6, frames.KEPT, 64, 64, 3) and decoded.shape == (6, 64, 64, 3)
    assert np.array_equal(rendered, frames.render_clips(range(6)))
    assert not np.array_equal(decoded, rendered[:, 0])


def test_training_measured_persons_and_the_card_never_meet():
    trained = {frames.spec_of(number).persons[0].pool for number in range(20)}
    assert trained == {"appearance"}
    assert measuring.spec_of_subject(5).persons[0].pool == "subjects"
    assert all(spec.persons[0].number >= 900 for spec in map(measuring.spec_of_subject, range(100)))


def test_the_command_writes_a_model_that_open_clip_opens(blank, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "SEEING_STEPS", 1)
    monkeypatch.setattr(measuring, "subjects", lambda: ("A firefighter", "A nurse", "A girl with green pigtails"))
    output = tmp_path / "run"
    words = ["appearance", "--minutes", "0", "--steps", "2", "--clips", "4", "--threads", "1", "--pipeline", str(blank)]
    assert mini.main([*words, "--output", str(output)]) == 0
    assert "2 of 2 steps; done" in capsys.readouterr().out
    found = json.loads((output / "figures.json").read_text())
    assert set(found) == {"rendered", "decoded"}
    assert found["decoded"].keys() >= {"subject_top1", "appearance", "gesture_top1", "text_alignment"}
    assert (output / network.WEIGHTS).stat().st_size < 11e6
    loaded = load_image_text(output)
    assert loaded.encode_texts(["a nurse"]).shape == (1, network.MODEL["embed_dim"])
    assert loaded.model.visual.preprocess_cfg["size"] == 64
    assert mini.main([*words, "--output", str(output), "--seed", "1"]) == 2


def test_impossible_options_are_refused(blank, tmp_path):
    with pytest.raises(VmcError, match="--clips is 0"):
        training.train_appearance(TrainOptions(output=tmp_path, threads=1), pipeline=blank, clips=0)
    with pytest.raises(VmcError, match="has no unet"):
        training.train_appearance(TrainOptions(output=tmp_path, threads=1), pipeline=tmp_path, clips=1)
