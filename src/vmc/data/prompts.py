"""Prompts and their seeds, from the command line, a text file or a table."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmc.data.captions import fill
from vmc.data.checks import explain_permissions
from vmc.utils.errors import VmcError
from vmc.utils.text_files import MAX_ROWS, check_characters, read_lines, read_table, shortened

SUBJECT_WORD = "{subject_token}"
"""May stand in a test subject's phrase: the model is prompted with "a pll man", and a score looks for "a man"."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A video to be made."""

    text: str  # the model's prompt
    seed: int  # of the video's noise
    subject: str | None = None  # what the appearance score looks for, if the test set names it
    language: str | None = None  # the prompt in natural language, for text alignment, if it is known
    suite: str | None = None  # what this part of the test set is about: `people`, `slow`, ...
    then: str | None = None  # class of a second gesture in the prompt


def read_prompts(
    file: Path, *, template: str, seeds: Sequence[int], language: str | None = None, **words: str
) -> list[Prompt]:
    """The prompts of a file, in its order, with the seeds of each prompt together.

    - A table (.csv, .tsv) with a column `subject` and columns `seed_1`, `seed_2`, ...: the template is filled with each
      subject, which may contain `{subject_token}`.
    - A table with a column `prompt`, and optionally `subject`, `language` and `seed`.
    - Either may have `suite`, by which scores are grouped, `manner`, which is added to the template ("very slowly"),
      and `then`, the class of a second gesture in the prompt.
    - Text (.txt): a prompt per line; blank lines are skipped, and commas belong to the prompt.

    Args:
        file: the file, in UTF-8 or as a spreadsheet saves it.
        template: the motion's prompt, with `{subject}` and `{token}`.
        seeds: seeds if the file gives none.
        language: the motion's prompt in natural language, with `{subject}`; used if the file has no such column.
        words: what replaces `{token}` and other placeholders.

    Raises:
        VmcError: no such file, no prompts or over 100,000 of them, unknown columns or a seed that is no whole number.
    """
    columns, rows = _read_rows(file)
    seed_columns = [column for column in columns if column == "seed" or column.startswith("seed_")]
    if (videos := len(rows) * len(seed_columns or seeds)) > MAX_ROWS:
        raise VmcError(f"prompts.file is {file}, with {videos:,} videos to make, of {MAX_ROWS:,} at most: split it")
    prompts = []
    for number, row in enumerate(rows, start=2):
        where = f"{file}, row {number},"
        if row[""]:
            raise VmcError(f"{where} has too many columns; quote prompts that hold commas")
        if not row.get("subject") and not row.get("prompt"):
            raise VmcError(f"{where} names no {'prompt' if 'prompt' in columns else 'subject'}; remove it")
        asked, subject = _subject_of(row.get("subject") or None, words, where=where)
        values, own = ({**words, "subject": one} if one else words for one in (subject, asked))
        prompt, told = (_in_manner(one, row.get("manner")) for one in (template, language or ""))
        said = row.get("language") or (fill(told, **values) if language and subject else None)
        text = fill(row.get("prompt") or prompt, **own)
        check_characters(text, where=str(file))
        own_seeds = [_read_seed(row[column], where=where) for column in seed_columns] or seeds
        suite = {name: row.get(name) or None for name in ("suite", "then")}
        prompts += [Prompt(text=text, seed=seed, subject=subject, language=said, **suite) for seed in own_seeds]
    return prompts


def _subject_of(subject: str | None, words: Mapping[str, str], *, where: str) -> tuple[str | None, str | None]:
    """The subject with its word for the model, and without it for other networks, which do not know the word."""
    if not subject or SUBJECT_WORD not in subject:
        return subject, subject
    told = " ".join(subject.replace(SUBJECT_WORD, "").split())
    if not told:
        raise VmcError(f"{where} says no more of the subject than its word; write a {SUBJECT_WORD} man")
    return fill(subject, **words), told


def _read_seed(text: str, *, where: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise VmcError(f"{where} has the seed '{shortened(text)}'; a seed is a whole number")
    return int(text)


def _in_manner(template: str, manner: str | None) -> str:
    """The template with the manner added before its full stop."""
    if not manner or not template:
        return template
    stop = "." if template.endswith(".") else ""
    return f"{template.removesuffix('.')} {manner}{stop}"


@explain_permissions()
def _read_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a table; a text file has one column, `prompt`."""
    if not file.exists():
        raise VmcError(f"prompts.file is {file}, which does not exist; give a .csv or .txt file")
    if file.suffix.lower() in (".csv", ".tsv"):
        columns, rows = read_table(file, wanted=("prompt", "subject"))
    else:
        columns, rows = ["prompt"], [{"prompt": line, "": ""} for line in read_lines(file)]
    if not {"prompt", "subject"} & set(columns):
        told = f"with columns {shortened(', '.join(columns)) or 'none'}; it needs prompt or subject"
        raise VmcError(f"prompts.file is {file}, {told}")
    if not rows:
        raise VmcError(f"prompts.file is {file}, which holds no prompts; write one a line")
    return columns, rows


def check_test_set(prompts: Sequence[Prompt]) -> None:
    """Raise a VmcError for a prompt that cannot be scored: without a subject, or twice with one seed."""
    seen = set()
    for prompt in prompts:
        if prompt.subject is None:
            raise VmcError(f"the prompt '{prompt.text}' names no subject to score; give prompts.file a column subject")
        if (prompt.text, prompt.seed) in seen:
            raise VmcError(f"the prompt '{prompt.text}' stands twice with seed {prompt.seed}; remove one of the rows")
        seen.add((prompt.text, prompt.seed))


def spread(prompts: Sequence[Prompt], limit: int | None) -> list[Prompt]:
    """All prompts of `limit` subjects (or texts, without subjects) evenly spaced through the list; None keeps all."""
    names = list(dict.fromkeys(prompt.subject or prompt.text for prompt in prompts))
    places = range(len(names)) if limit is None else evenly(len(names), limit, key="prompts.limit")
    kept = {names[place] for place in places}
    return [prompt for prompt in prompts if (prompt.subject or prompt.text) in kept]


def first_of_each(prompts: Sequence[Prompt], each: int | None) -> list[Prompt]:
    """The first `each` prompts of every subject (or text, without subjects) and suite; None keeps all."""
    groups = defaultdict[tuple[str, str | None], list[Prompt]](list)
    for prompt in prompts:
        groups[prompt.subject or prompt.text, prompt.suite].append(prompt)
    kept = {id(prompt) for group in groups.values() for prompt in group[:each]}
    return [prompt for prompt in prompts if id(prompt) in kept]


def evenly(total: int, count: int, *, key: str = "evaluate_subset") -> list[int]:
    """`count` evenly spaced indices below `total`, all if there are fewer; `key` is the setting of the count."""
    if count < 1:
        raise VmcError(f"{key} is {count}; it must be at least 1")
    count = min(count, total)
    return [index * total // count for index in range(count)]


def applications(*, stack: str) -> Path:
    """The prompt suites of a stack (paper, Sec. 4.3), in the vocabulary of its base model."""
    file = Path(__file__).with_name(f"applications_{stack}.csv")
    if not file.is_file():
        raise VmcError(f"stack_name is {stack}, which prompts=applications has no suites for; give prompts.file")
    return file


def jester_test_set() -> Path:
    """The paper's test set (Fig. 9): 100 subjects with the three fixed seeds of the release."""
    return Path(__file__).with_name("jester_test_set.csv")


def objects_test_set() -> Path:
    """Objects for a camera that moves around them (as Fig. 4): 30 outside of CO3D's categories, three seeds each."""
    return Path(__file__).with_name("objects_test_set.csv")


_PERSON = r"(?i)\b(a|the) (person|man|woman|boy|girl|child|human|people)\b|\b(some(one|body)|people)\b"
"""The person in a caption, who is replaced by another subject in a test prompt."""


def prompt_of(caption: str | None) -> str:
    """Derive the test prompt from the caption of a motion's clips, or a general one if each has its own caption (None).

    "a person doing the {token} dance" gives "{subject} doing the {token} dance.": `{subject}` replaces the first person
    named before the motion, or precedes a caption that names none: "{subject}, the {token} dance."
    """
    if caption is None:
        return "{subject} doing the {token} motion."
    said = caption.strip().rstrip(".")
    person = re.search(_PERSON, said.partition("{token}")[0])
    return f"{said[: person.start()]}{{subject}}{said[person.end() :]}." if person else f"{{subject}}, {said}."


def ask_known(prompt: Prompt, template: str) -> Prompt:
    """The prompt that asks its subject for a motion which the base model knows, `template` with `{subject}`."""
    text = template.replace("{subject}", prompt.subject or "a person")
    return replace(prompt, text=text, language=text)
