"""The card as a page to be read, and both on disk."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vmc.mini.card.bars import ALSO, BARS, Bar
from vmc.mini.card.reading import CARD, PAGE
from vmc.mini.card.rules import PERCENT
from vmc.utils.files import atomic_write

_HEAD = """\
# Weights of the miniature

Four networks trained from scratch on the miniature's rendered world, measured on persons, clips and seeds that no
training used. This page and `card.json` are written by

    {command}

Made {date}: {processor}, threads: {threads}; {versions}. `python -m vmc.mini card --check` says whether they still
belong to the files here and to the renderer.

| File | What it is |
|---|---|
| `pipeline/` | text-to-video pipeline in the diffusers layout |
| `classifier.pth.tar` | gesture classifier, a TRN in its published container |
| `appearance/` | appearance model, a CLIP of open_clip |
| `copying.torchscript.pt` | copy descriptor, as SSCD is published |
"""
_RULES = f"""\
## Thresholds

A video counts as copied above the {PERCENT:g}th percentile of the similarity between exemplars and other people doing
the same gesture, or people doing it who are dressed and filmed as the exemplars, whichever is higher; taken as the copy
score takes it. The search stops where its appearance
has fallen one third of the way from the base model's on its test set, prompted with the token, to that of random
pairings of videos and subjects.
"""
_MET = {True: "yes", False: "**no**", None: ""}


def write_card(weights: Path, card: Mapping[str, Any]) -> None:
    """Write the card and its page."""
    for name, text in ((CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n"), (PAGE, page(card))):
        with atomic_write(weights / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def page(card: Mapping[str, Any]) -> str:
    """Markdown of a card."""
    made = card["made"]
    head = _HEAD.format(
        command=made["command"],
        date=made["date"],
        processor=made["machine"]["processor"],
        threads=made["machine"]["threads"],
        versions=", ".join(f"{name} {number}" for name, number in made["versions"].items()),
    )
    if copying := made.get("copying"):
        head += f"\nWhat is said of copies was measured anew on {copying['date']} by `{copying['command']}`.\n"
    parts = [head, "## Figures\n", _table(BARS, card), _tried(card), _RULES]
    names = {name: f"{name} threshold" for name in card["thresholds"]}
    parts.append(_values(("Threshold", "Value", "95 %"), card["thresholds"], names, share=False))
    parts += ["## What the thresholds come from, and how far they carry\n", _table(ALSO, card["also"])]
    for title, section in (
        ("Known gestures, by gesture", "known_gestures"),
        ("Targets prompted with the rare token: videos taken for each", "targets_token"),
        ("Targets in natural language: videos classified right", "targets_language"),
    ):
        parts += [f"## {title}\n", _values(("Gesture", "Share", "95 %"), card[section], {}, share=True)]
    parts += ["## Trainings\n", _trainings(card["trainings"])]
    return "\n".join(part for part in parts if part)


def lines(card: Mapping[str, Any]) -> list[str]:
    """The figures for the terminal."""
    met = {True: "met", False: "MISSED", None: ""}
    return [
        f"{name:<24}{_number(card[name]['value'], bar.share):>9}  {_ends(card[name], bar.share):<20}"
        f"{bar!s:<15}{met[bar.met(card[name]['value'])]}".rstrip()
        for name, bar in BARS.items()
    ]


def _table(bars: Mapping[str, Bar], figures: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{name}`",
            bar.what,
            _number(figures[name]["value"], bar.share),
            _ends(figures[name], bar.share),
            str(bar),
            _MET[bar.met(figures[name]["value"])],
        )
        for name, bar in bars.items()
        if name in figures
    ]
    return _markdown(("Key", "What", "Value", "95 %", "Bar", "Met"), rows)


def _values(head: tuple[str, ...], figures: Mapping[str, Any], names: Mapping[str, str], *, share: bool) -> str:
    rows = [
        (names.get(name, name), _number(figure["value"], share), _ends(figure, share))
        for name, figure in figures.items()
    ]
    return _markdown(head, rows)


def _tried(card: Mapping[str, Any]) -> str:
    tried = card.get("tried", {})
    return "\n".join(f"- `{name}`: {text}" for name, text in tried.items()) + "\n" if tried else ""


def _trainings(trainings: Mapping[str, Any]) -> str:
    rows = []
    for name, about in trainings.items():
        steps = f"{about['step']} of {about['steps']}"
        if "vae_steps" in about:
            steps = f"{about['vae_step']} of {about['vae_steps']} (autoencoder), {steps}"
        rows.append((name, str(about["seed"]), steps, f"{about['seconds'] / 60:.0f}"))
    return _markdown(("Network", "Seed", "Steps", "Minutes"), rows) if rows else "Not known.\n"


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    table = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def _number(value: float | None, share: bool) -> str:
    """Shares and cosines with digits that their intervals bear; seconds as whole numbers."""
    if value is None:
        return ""
    return f"{value:.3f}" if share or abs(value) <= 1 else f"{value:.0f}"


def _ends(figure: Mapping[str, Any], share: bool) -> str:
    low, high = figure["low"], figure["high"]
    return "" if low is None or high is None else f"{_number(low, share)} to {_number(high, share)}"
