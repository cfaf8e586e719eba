"""Captions and prompts: the placeholders that stand for words and subjects, and what replaces them."""

import re
from collections.abc import Sequence

from vmc.data.clips import Clip
from vmc.utils.errors import VmcError
from vmc.utils.text_files import shortened

PLACEHOLDERS = ("token", "subject_token", "subject")
"""Placeholders of captions and prompts: the motion's word, the subject's word, the test subject's phrase."""
_TAUGHT = {"exemplar": ("motion", "token"), "subject": ("subject", "subject_token")}
"""What clips of a role teach, and the placeholder that their captions need; regularization clips need none."""


def fill(caption: str, **values: str | None) -> str:
    """The caption with `{token}`, `{subject_token}` and `{subject}` replaced by their values; a VmcError for unknown
    placeholders, those without a value, and stray braces.
    """
    for brace in re.findall(r"\{\w*\}|[{}]", caption):
        holds = f"the caption {shortened(caption)!r} holds {brace!r}"
        if brace[1:-1] not in PLACEHOLDERS:
            raise VmcError(f"{holds}: only {{{'}, {'.join(PLACEHOLDERS)}}} may stand in braces")
        if values.get(brace[1:-1]) is None:
            raise VmcError(f"{holds}, which has no value here: take it out")
    # In one pass, so that braces in values are kept.
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), caption)


def check_token(clips: Sequence[Clip], **words: str) -> None:
    """Raise a VmcError if a filled caption lacks the word for what its clip teaches; `words` are by placeholder."""
    for clip in clips:
        thing, name = _TAUGHT.get(clip.role, ("", ""))
        word = words.get(name)
        if word and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", clip.caption, re.IGNORECASE):
            told = f"the caption {shortened(clip.caption)!r} of clip {clip.path} lacks the {thing}'s token {word!r}"
            raise VmcError(f"{told}: write {{{name}}} into the caption where the {thing} is named")
