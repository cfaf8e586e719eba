import os

import pytest

from vmc.data.prompts import Prompt, first_of_each, jester_test_set, read_prompts
from vmc.models.token import MotionToken
from vmc.utils.errors import VmcError


def read(file, seeds=(7,)):
    return read_prompts(file, template="{subject} doing the {token} sign.", token="sks", seeds=seeds)


def test_the_papers_test_set_is_read():
    prompts = read(jester_test_set())
    assert len(prompts) == 300 and prompts[0].text.endswith(" doing the sks sign.")


def test_a_prompt_may_hold_the_words_of_several_tokens(tmp_path):
    (tmp_path / "prompts.txt").write_text("a {subject_token} man doing the {token} sign\n")
    words = MotionToken(further={"subject": {"word": "pll"}}).words
    (prompt,) = read_prompts(tmp_path / "prompts.txt", template="", seeds=[1], **words)
    assert prompt.text == "a pll man doing the sks sign"
    with pytest.raises(VmcError, match=r"holds '\{subject_token\}', which has no value here"):
        read(tmp_path / "prompts.txt")


def test_a_subject_with_a_word_is_asked_for_by_it_and_scored_without(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text("subject,seed\nA {subject_token} man,1\nA  woman,2\n")
    words = MotionToken(further={"subject": {"word": "pll"}}).words
    motion = {"template": "{subject} doing the {token} sign.", "language": "{subject} waving"}
    one, other = read_prompts(file, seeds=[], **motion, **words)
    assert one == Prompt(text="A pll man doing the sks sign.", seed=1, subject="A man", language="A man waving")
    assert (other.text, other.subject) == ("A  woman doing the sks sign.", "A  woman")
    with pytest.raises(VmcError, match=r"holds '\{subject_token\}', which has no value here"):
        read(file)
    file.write_text("subject,seed\n{subject_token},1\n")
    with pytest.raises(VmcError, match=r"row 2, says no more of the subject than its word; write a \{subject_token\}"):
        read_prompts(file, seeds=[], **motion, **words)


@pytest.mark.parametrize(
    "content",
    [
        "prompt,seed\na café {token},1\nanother,2\n".encode(),
        "Prompt ;SEED\na café {token};1\nanother;2\n".encode("cp1252"),
        "prompt\tseed\r\na café {token}\t1\r\n\r\nanother\t2\r\n".encode("utf-16"),
    ],
)
def test_tables_are_read_as_editors_and_spreadsheets_save_them(tmp_path, content):
    (tmp_path / "prompts.csv").write_bytes(content)
    assert read(tmp_path / "prompts.csv") == [Prompt(text="a café sks", seed=1), Prompt(text="another", seed=2)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_text_holds_a_prompt_a_line_in_any_encoding(tmp_path, encoding):
    (tmp_path / "prompts.txt").write_bytes("a café, by {token}\r\n\r\n two \r\n".encode(encoding))
    assert [prompt.text for prompt in read(tmp_path / "prompts.txt")] == ["a café, by sks", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "prompt,seed\nx,1.5\n", "row 2, has the seed '1.5'"),
        ("a.csv", "prompt,seed\nx,99999999999999999999\n", "row 2, has the seed '99999999999999999999'"),
        ("a.csv", "prompt,seed\nx,1\n,2\n", "row 3, names no prompt"),
        ("a.csv", "prompt\na man, laughing\n", "row 2, has too many columns; quote prompts"),
        ("a.csv", "prompt,prompt\na,b\n", "the column 'prompt' twice"),
        ("a.csv", "", "with columns none; it needs prompt or subject"),
        ("a.csv", "prompt\n", "holds no prompts"),
        ("a.txt", "\n\n", "holds no prompts"),
        ("a.txt", "x" * 10_001, "holds a text of 10,001 characters"),
        (
            "a.csv",
            'prompt\n"open ' + "word\n" * 4000,
            "holds a text of 20,004 characters .* a quote that was left open",
        ),
        ("a.txt", "a\0b", "holds bytes that are no text"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(VmcError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["many.txt", "many.csv"])
def test_more_prompts_than_anybody_makes_are_refused(tmp_path, name):
    (tmp_path / name).write_text("prompt\n" + "a man\n" * 100_001)
    with pytest.raises(VmcError, match=r"many\.\w+ has (100,002 lines, 100,000 are read|more than 100,000 rows)"):
        read(tmp_path / name)


def test_prompts_times_seeds_are_counted(tmp_path):
    (tmp_path / "a.txt").write_text("a\n" * 50_001)
    with pytest.raises(VmcError, match="100,002 videos to make"):
        read(tmp_path / "a.txt", seeds=(1, 2))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(VmcError, match=r"a.txt is no regular file"):
        read(tmp_path / "a.txt")


def test_so_many_of_each_subject_are_the_first_of_its_seeds():
    prompts = [Prompt(text=f"A {who}.", seed=seed, subject=who) for who in ("man", "chef") for seed in (5, 3, 9)]
    assert [(one.subject, one.seed) for one in first_of_each(prompts, 1)] == [("man", 5), ("chef", 5)]
    assert [one.seed for one in first_of_each(prompts, 2)] == [5, 3, 5, 3]
    assert first_of_each(prompts, None) == first_of_each(prompts, 3) == prompts
    suites = [Prompt(text=f"A man {how}.", seed=0, subject="man", suite=how) for how in ("slow", "quick")]
    assert first_of_each(suites, 1) == suites
