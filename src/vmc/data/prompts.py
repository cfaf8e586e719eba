"""Prompts and their seeds, from the command line, a text file or a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmc.data.clips import fill
from vmc.data.limits import exists
from vmc.utils.errors import VmcError
from vmc.utils.text_files import MAX_ROWS, check_characters, read_lines, read_table, shortened


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One video to be made.

    Args:
        text: what the model is told.
        seed: of the video's noise.
        subject: whom the appearance score looks for, where the test set names one.
        language: the same in natural language, for the text alignment; None where nobody has said it.
    """

    text: str
    seed: int
    subject: str | None = None
    language: str | None = None


def read_prompts(
    file: Path, *, template: str, seeds: Sequence[int], language: str | None = None, **words: str
) -> list[Prompt]:
    """Prompts of a file, in its order, each prompt's seeds together.

    - a table (.csv, .tsv) with a column `subject` and columns `seed_1`, `seed_2`, ...: the template filled with each
      subject;
    - a table with a column `prompt` and, where wanted, `subject`, `language` and `seed`;
    - text (.txt): a prompt a line, blank lines skipped; commas belong to the prompt.

    Args:
        file: the file, in UTF-8 or as a spreadsheet saves it.
        template: the motion's prompt, with `{subject}` and `{token}`.
        seeds: used where the file gives none.
        language: the motion's prompt in natural language, with `{subject}`; filled where the file has no such column.
        words: what stands for `{token}` and other placeholders.

    Raises:
        VmcError: no such file, no prompts or over 100,000 of them, unknown columns or a seed that is no whole number.
    """
    if not exists(file):
        raise VmcError(f"prompts.file is {file}, which does not exist; give a .csv or .txt file")
    if file.suffix.lower() in (".csv", ".tsv"):
        prompts = _from_table(file, template=template, seeds=seeds, language=language, words=words)
    else:
        lines = read_lines(file)
        _check_number(len(lines) * len(seeds), file)
        prompts = [Prompt(text=fill(line, **words), seed=seed) for line in lines for seed in seeds]
    if not prompts:
        raise VmcError(f"prompts.file is {file}, which holds no prompts; write one a line")
    return prompts


def _from_table(
    file: Path, *, template: str, seeds: Sequence[int], language: str | None, words: Mapping[str, str]
) -> list[Prompt]:
    columns, rows = read_table(file, wanted=("prompt", "subject"))
    seed_columns = [column for column in columns if column == "seed" or column.startswith("seed_")]
    if not {"prompt", "subject"} & set(columns):
        names = shortened(", ".join(columns)) or "none"
        raise VmcError(f"prompts.file is {file}, with columns {names}; it needs prompt or subject")
    _check_number(len(rows) * len(seed_columns or seeds), file)
    prompts = []
    for number, row in enumerate(rows, start=2):
        if row[""]:
            raise VmcError(f"{file}, row {number}, has too many columns; quote prompts that hold commas")
        subject = row.get("subject") or None
        text = row.get("prompt") or template
        if not subject and not row.get("prompt"):
            raise VmcError(
                f"{file}, row {number}, names no {'prompt' if 'prompt' in columns else 'subject'}; remove it"
            )
        values = {**words, "subject": subject} if subject else words
        own_seeds = [_seed(row[column], file=file, row=number) for column in seed_columns] or seeds
        said = row.get("language") or (fill(language, **values) if language and subject else None)
        text = fill(text, **values)
        check_characters(text, where=str(file))
        prompts += [Prompt(text=text, seed=seed, subject=subject, language=said) for seed in own_seeds]
    return prompts


def _check_number(prompts: int, file: Path) -> None:
    if prompts > MAX_ROWS:
        raise VmcError(
            f"prompts.file is {file}, with {prompts:,} videos to make; {MAX_ROWS:,} are made at most: split it"
        )


def _seed(text: str, *, file: Path, row: int) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = None
    if seed is None or not -(2**63) <= seed < 2**63:
        raise VmcError(f"{file}, row {row}, has the seed '{shortened(text)}'; a seed is a whole number") from None
    return seed


def check_test_set(prompts: Sequence[Prompt]) -> None:
    """What scores need of a test set: a subject in every prompt, and no prompt twice with one seed.

    Raises:
        VmcError: naming the first prompt that lacks it.
    """
    seen = set()
    for prompt in prompts:
        if prompt.subject is None:
            raise VmcError(
                f"the prompt '{prompt.text}' names no subject, which the appearance score looks for;"
                " give prompts.file a column subject"
            )
        if (prompt.text, prompt.seed) in seen:
            raise VmcError(f"the prompt '{prompt.text}' stands twice with seed {prompt.seed}; remove one of the rows")
        seen.add((prompt.text, prompt.seed))


def spread(prompts: Sequence[Prompt], limit: int | None) -> list[Prompt]:
    """The prompts of `limit` subjects evenly spaced through the list, with all their seeds; null keeps all.

    A subject is a run of equal subject (or text, where no subject is named).
    """
    names = list(dict.fromkeys(prompt.subject or prompt.text for prompt in prompts))
    if limit is None or limit >= len(names):
        return list(prompts)
    if limit < 1:
        raise VmcError(f"prompts.limit is {limit}; it must be at least 1, or null for all")
    kept = {names[index * len(names) // limit] for index in range(limit)}
    return [prompt for prompt in prompts if (prompt.subject or prompt.text) in kept]


def evenly(total: int, count: int) -> list[int]:
    """`count` places evenly spaced among `total`, so that subjects and seeds are both spread; all if there are fewer.

    Raises:
        VmcError: `count` is no number of videos.
    """
    if count < 1:
        raise VmcError(f"evaluate_subset is {count}; it must be at least 1")
    count = min(count, total)
    return [index * total // count for index in range(count)]


def jester_test_set() -> Path:
    """The paper's test set (Fig. 9): 100 subjects with the three fixed seeds of the release."""
    return Path(__file__).with_name("jester_test_set.csv")
