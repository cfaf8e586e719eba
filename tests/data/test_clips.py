import logging

import pytest

from vmc.data.captions import check_token, fill
from vmc.data.clips import Clip, check_readable
from vmc.utils.errors import VmcError


def clip(path, caption="a person doing the sks sign", role="exemplar"):
    return Clip(path=path, caption=caption, role=role)


def test_placeholders_are_replaced():
    filled = fill(
        "{subject} and a {subject_token} man doing the {token} sign", token="sks", subject_token="pll", subject="A cat"
    )
    assert filled == "A cat and a pll man doing the sks sign"
    assert fill("nothing to fill, (really)!") == "nothing to fill, (really)!"


def test_values_are_not_filled_again():
    assert fill("a {subject} doing {token}", token="sks", subject="{token} {x}") == "a {token} {x} doing sks"


@pytest.mark.parametrize("caption", ["a {motion} ride", "an {} ride", "a { ride", "a } ride", "{{token}}", "{token }"])
def test_other_braces_are_refused(caption):
    with pytest.raises(VmcError) as error:
        fill(caption, token="sks")
    assert caption in str(error.value) and "{token}, {subject_token}, {subject}" in str(error.value)


def test_a_placeholder_without_a_value_is_refused():
    with pytest.raises(VmcError, match=r"'a \{subject_token\} man' holds '\{subject_token\}', which has no value"):
        fill("a {subject_token} man", token="sks", subject_token=None)


@pytest.mark.parametrize("caption", ["a person doing the sks sign", "Sks, done well", "doing SKS"])
def test_the_token_is_found_as_a_word(tmp_path, caption):
    check_token([clip(tmp_path / "a.mp4", caption)], token="sks")


@pytest.mark.parametrize("caption", ["a person waving", "a person on asks", "skss", ""])
def test_an_exemplar_without_the_token_is_named(tmp_path, caption):
    good = clip(tmp_path / "good.mp4")
    with pytest.raises(VmcError) as error:
        check_token([good, clip(tmp_path / "bad.mp4", caption)], token="sks")
    assert "bad.mp4" in str(error.value) and repr(caption) in str(error.value) and "{token}" in str(error.value)


def test_added_tokens_may_hold_any_characters(tmp_path):
    check_token([clip(tmp_path / "a.mp4", "doing the <new+1> sign")], token="<new+1>")


def test_regularization_clips_need_no_token(tmp_path):
    check_token([clip(tmp_path / "a.mp4", "a person waving", role="regularization")], token="sks")


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.mp4"
    path.write_text("not a video")
    return path


def test_a_corrupt_clip_is_an_error(mp4, bad):
    with pytest.raises(VmcError, match=r"bad.mp4 cannot be read.*data.skip_bad=true"):
        check_readable([clip(mp4), clip(bad)], skip_bad=False)


def test_corrupt_clips_are_skipped_on_request_and_named(mp4, bad, truncated, portrait, caplog):
    clips = [clip(bad), clip(mp4), clip(truncated), clip(portrait)]
    with caplog.at_level(logging.WARNING):
        assert check_readable(clips, skip_bad=True) == [clips[1], clips[3]]
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2 and all("2 of 4 clips remain" in message for message in messages)
    assert "bad.mp4" in messages[0] and "truncated.mp4" in messages[1]


def test_a_file_without_permission_is_named(mp4, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(mp4), "open", refuse)
    with pytest.raises(VmcError, match=r"clip.mp4 cannot be read \(Permission denied\)"):
        check_readable([clip(mp4)], skip_bad=False)


def test_nothing_left_is_an_error(bad):
    with pytest.raises(VmcError, match=r"none of 1 clips can be read.*bad.mp4"):
        check_readable([clip(bad)], skip_bad=True)


def test_no_clips_are_no_error():
    assert check_readable([], skip_bad=False) == []
