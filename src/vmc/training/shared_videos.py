"""Videos that several runs share: each made once, kept with its checksum, and copied where it is wanted."""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmc.data.prompts import Prompt
from vmc.errors import VmcError
from vmc.files import short_reason, written_whole
from vmc.runs.evaluation import Maker, all_files
from vmc.runs.score_files import sha256_of

log = logging.getLogger(__name__)


def shared_or_made(make: Maker, prompts: Sequence[Prompt], files: Sequence[Path], *, shared: Path) -> Iterator[Path]:
    """Give each file that is missing, in order: a copy of the one in a shared folder, else made and kept there.

    A shared video that is damaged is made again. A folder that cannot be written is told, and nothing else comes of it.
    """
    names = [hashlib.sha256(f"{prompt.seed} {prompt.text}".encode()).hexdigest()[:24] for prompt in prompts]
    keeping, missing = True, [file for file in files if not file.exists()]
    original = {file: shared / f"{name}.mp4" for file, name in zip(files, names, strict=True)}
    made = [file for file in missing if not _copied(original[file], file)]
    for file in all_files(make, prompts, files):
        if file in made and keeping:
            keeping = _kept(file, original[file])
        if file in missing:
            yield file


def _copied(original: Path, file: Path) -> bool:
    """Copy a shared video; whether it was there, and as it was written."""
    try:
        if not original.is_file():
            return False
        if _checksum(original).read_text(encoding="utf-8").strip() != sha256_of(original):
            log.warning("the shared video %s is damaged; it is made again", original)
            return False
        with written_whole(file) as temporary:
            shutil.copyfile(original, temporary)
    except (OSError, UnicodeDecodeError, VmcError) as error:
        log.warning("the shared video %s cannot be copied (%s); it is made again", original, short_reason(error))
        return False
    return True


def _kept(file: Path, original: Path) -> bool:
    """Keep a video for other runs, its checksum first; whether that could be done."""
    try:
        with written_whole(_checksum(original)) as temporary:
            temporary.write_text(sha256_of(file) + "\n", encoding="utf-8")
        with written_whole(original) as temporary:
            shutil.copyfile(file, temporary)
    except (OSError, VmcError) as error:
        log.warning(
            "the base model's videos are not shared with other runs: %s cannot be written (%s)",
            *(original, short_reason(error)),
        )
        return False
    return True


def _checksum(video: Path) -> Path:
    return video.with_suffix(".sha256")
