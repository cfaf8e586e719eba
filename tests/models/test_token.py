"""The motion's token: one word, one row, and no other row ever moves."""

import pytest
import torch
from transformers import CLIPTokenizer

from vmc.models.text import TextEncoder, check_word_is_read, clip_tokenizer
from vmc.models.token import MotionToken, merge_row
from vmc.utils.errors import VmcError


def test_the_tokenizer_is_clips_own(blank):
    """Against open_clip's own implementation of it, and as read back from its files."""
    import open_clip

    written = clip_tokenizer()
    texts = ["A person doing the sks sign.", "a man's red hat, 3 pll!", "Turning Hand Counterclockwise"]
    expected = open_clip.get_tokenizer("ViT-B-32")(texts)
    for tokenizer in (written, CLIPTokenizer.from_pretrained(blank / "tokenizer")):
        for text, ids in zip(texts, expected, strict=True):
            ours = tokenizer(text).input_ids
            assert ours == ids[: len(ours)].tolist()
    assert len(written("sks pll", add_special_tokens=False).input_ids) == 2


def optimize(encoder: TextEncoder, text: str, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([encoder.token_embedding.row], lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        encoder.encode_ids(encoder.token_ids([text])).embeddings_BLD.square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "token",
    [
        MotionToken(trained=True, learning_rate=0.1),
        MotionToken(word="<motion>", added=True, start="sign", trained=True, learning_rate=0.1),
    ],
)
def test_only_the_tokens_row_moves(base, token):
    encoder = base.text_encoder(token)
    before, table = encoder.token_embedding.row.clone(), base.text_encoder().network.get_input_embeddings().weight
    optimize(encoder, f"a person doing the {token.word} sign")
    assert not torch.allclose(encoder.token_embedding.row, before, atol=0.05)
    assert torch.equal(encoder.token_embedding.table.weight, table)


def test_an_untrained_row_changes_nothing(base):
    text = "a person doing the sks sign"
    frozen = base.text_encoder(MotionToken())
    separate = base.text_encoder(MotionToken(trained=True, learning_rate=1.0))
    assert torch.equal(frozen(text).embeddings_BLD, separate(text).embeddings_BLD)


def test_of_several_tokens_each_has_its_row_and_those_that_are_trained_move(base):
    further = {
        "subject": {"word": "pll", "trained": True, "learning_rate": 0.1},
        "place": {"word": "<place>", "added": True, "start": "sign"},
    }
    token = MotionToken(trained=True, learning_rate=0.1, further=further)
    assert token.words == {"token": "sks", "subject_token": "pll", "place_token": "<place>"}
    encoder = base.text_encoder(token)
    text = "a pll man doing the sks sign in a <place>"
    assert torch.equal(
        encoder(text).embeddings_BLD, base.text_encoder()(text.replace("<place>", "sign")).embeddings_BLD
    )
    before = {name: row.clone() for name, row in encoder.rows.items()}
    table = encoder.token_embedding.table.weight.clone()
    optimizer = torch.optim.AdamW([row for row in encoder.rows.values() if row.requires_grad], lr=0.1)
    encoder.encode_ids(encoder.token_ids([text])).embeddings_BLD.square().sum().backward()
    optimizer.step()
    moved = {name for name, row in encoder.rows.items() if not torch.equal(row, before[name])}
    assert moved == {"motion", "subject"}
    assert torch.equal(encoder.token_embedding.table.weight, table)
    expected = encoder(text).embeddings_BLD
    merge_row(encoder.token_embedding, encoder.tokenizer, encoder.network)
    assert torch.equal(encoder(text).embeddings_BLD, expected)


def test_an_added_token_starts_as_the_word_it_copies(base):
    encoder = base.text_encoder(MotionToken(word="<motion>", added=True, start="sign"))
    plain = base.text_encoder(MotionToken())
    assert torch.equal(encoder("the <motion> now").embeddings_BLD, plain("the sign now").embeddings_BLD)


@pytest.mark.parametrize("added", [False, True])
def test_the_merged_table_reads_as_the_separate_row_did(base, added):
    chosen = {"word": "<motion>", "added": True, "start": "sign"} if added else {}
    encoder = base.text_encoder(MotionToken(**chosen, trained=True, learning_rate=0.1))
    text = f"a {chosen.get('word', 'sks')} sign"
    optimize(encoder, text)
    expected = encoder(text).embeddings_BLD
    merge_row(encoder.token_embedding, encoder.tokenizer, encoder.network)
    assert torch.equal(encoder(text).embeddings_BLD, expected)
    assert encoder.network.get_input_embeddings().weight.shape[0] == len(encoder.tokenizer)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"word": "V*"}, "splits into 2"),
        ({"word": "two words"}, "one word"),
        ({"word": "sks", "added": True, "start": "sign"}, "already has"),
        ({"word": "<m>", "added": True}, r"token\.start"),
        ({"word": "<m>", "added": True, "start": "zzyzxq"}, r"token\.start is 'zzyzxq'"),
        ({"trained": True}, r"token\.learning_rate"),
        ({"further": {"subject": {"word": "SKS"}}}, r"token\.further\.subject\.word is 'SKS', as token\.word is"),
        ({"further": {"subject": {"trained": True}}}, r"token\.further\.subject has no word"),
        ({"further": {"subject": {"word": "pll", "rate": 1}}}, r"token\.further\.subject\.rate is unknown"),
        ({"further": {"subject": {"word": "pll", "trained": True}}}, r"token\.further\.subject\.learning_rate is not"),
        ({"further": {"subject": {"word": "V*"}}}, r"token\.further\.subject\.word is 'V\*'.* splits into 2"),
    ],
)
def test_a_token_that_cannot_serve_is_refused(base, arguments, words):
    with pytest.raises(VmcError, match=words):
        base.text_encoder(MotionToken(**arguments))


def test_a_text_too_long_is_cut_and_said(base, caplog):
    encoder = base.text_encoder(MotionToken())
    assert encoder("word " * 100).embeddings_BLD.shape == (1, 77, 64)
    assert "102 tokens" in caplog.text


LONG = "a man " * 40 + "doing the {} sign"


@pytest.mark.parametrize(
    "token", [MotionToken(), MotionToken(word="<motion>", added=True, start="sign", trained=True, learning_rate=0.1)]
)
def test_a_text_whose_token_is_cut_off_is_refused(base, token, caplog):
    encoder = base.text_encoder(token)
    text = LONG.format(token.word)
    with pytest.raises(VmcError, match=rf"has 86 tokens, .* reads the first 77, and '{token.word}' stands behind them"):
        encoder(text)
    with pytest.raises(VmcError, match=r"clip a.mp4 'a man a man .*\.\.\.' has 86 tokens"):
        check_word_is_read(base, token, {"clip a.mp4": text})
    early = f"{token.word} " + text
    check_word_is_read(base, token, {"clip a.mp4": early})
    encoder(early)
    assert "reads the first 77" in caplog.text


def test_the_last_position_that_is_read_is_the_76th(base):
    """The 77th is the end of the text."""
    encoder = base.text_encoder(MotionToken())
    encoder("man " * 74 + "sks man man")
    with pytest.raises(VmcError, match="'sks' stands behind them"):
        encoder("man " * 75 + "sks man")
