"""Everything on the card, measured."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vmc.mini.card import sheets
from vmc.mini.card.bars import QUICK, CardPlan
from vmc.mini.card.copies import ExemplarSets, compare
from vmc.mini.card.generated import look, right_gestures
from vmc.mini.card.networks import Networks, RoundTrip
from vmc.mini.card.page import write_card
from vmc.mini.card.reading import COMMAND, TRAININGS, check_card, hashes
from vmc.mini.card.rendered import classifier_figures, subject_figures
from vmc.mini.card.rules import appearance_threshold
from vmc.mini.card.settings import read_settings
from vmc.mini.card.videos import Maker, known_videos, language_videos, test_videos
from vmc.mini.world.jester_folder import default_folder
from vmc.utils.plain_yaml import write_thresholds
from vmc.utils.processes import processor


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """Of the command.

    Args:
        weights: the folder that is measured and that the card is written into.
        videos: folder of the base model's videos.
        stack: the YAML that thresholds are written into.
        pictures: folder of the contact sheets.
        jester: the folder that runs draw exemplars from; None is the miniature's own.
        threads: of PyTorch.
        plan: how much is measured.
    """

    weights: Path
    videos: Path
    stack: Path
    pictures: Path
    jester: Path | None
    threads: int
    plan: CardPlan


def measure(options: CardOptions) -> dict[str, Any]:
    """Measure the weights; write the card, its page, the thresholds and the contact sheets.

    Raises:
        VmcError: a network is missing or is not what it should be, or the stack's file does not read.
    """
    torch.set_num_threads(options.threads)
    networks = Networks(options.weights, read_settings(options.stack))
    before = hashes(options.weights)
    card = {
        **_figures(networks, options),
        "trainings": _trainings(options.weights),
        "hashes": before,
        "made": _made(options),
    }
    write_card(options.weights, card)
    write_thresholds(options.stack, {name: figure["value"] for name, figure in card["thresholds"].items()})
    return card


def measure_copying(options: CardOptions) -> dict[str, Any]:
    """Measure only what is said of copies anew, and write it into the card of these weights, its page and the stack.

    Raises:
        VmcError: as `measure`, or the card is not of these weights.
    """
    card = check_card(options.weights)
    torch.set_num_threads(options.threads)
    networks, plan = Networks(options.weights, read_settings(options.stack)), options.plan
    exemplars = ExemplarSets(networks, options.jester or default_folder(), plan)
    tests = test_videos(networks, plan)
    files = Maker(networks, options.videos, threads=options.threads).make("test", tests)
    compared = compare(exemplars, networks, RoundTrip(networks.base.autoencoder(), fps=networks.base.fps), plan)
    threshold = compared.threshold
    value = float(threshold["value"] or 0.0)
    card |= compared.figures(value) | {"copied_base": look(files, tests, networks, exemplars).copied(value)}
    card["also"] |= compared.also(value)
    card["thresholds"] |= {"copy": threshold}
    card["made"] |= {"copying": _made(options) | {"command": f"{COMMAND} --copying --threads {options.threads}"}}
    write_card(options.weights, card)
    write_thresholds(options.stack, {"copy": value})
    return card


def _figures(networks: Networks, options: CardOptions) -> dict[str, Any]:
    plan, base = options.plan, networks.base
    trip = RoundTrip(base.autoencoder(), fps=base.fps)
    exemplars = ExemplarSets(networks, options.jester or default_folder(), plan)
    maker = Maker(networks, options.videos, threads=options.threads)
    tests, known, language = test_videos(networks, plan), known_videos(plan), language_videos(plan)
    test_files, known_files, language_files = (
        maker.make(name, asked) for name, asked in (("test", tests), ("known", known), ("language", language))
    )
    seen = look(test_files, tests, networks, exemplars)
    of_known, each_known = right_gestures(known_files, known, networks)
    of_language, each_target = right_gestures(language_files, language, networks)
    compared = compare(exemplars, networks, trip, plan)
    thresholds = {
        "appearance": appearance_threshold(seen.own, seen.others, seen.subjects),
        "copy": compared.threshold,
    }
    copy = float(thresholds["copy"]["value"] or 0.0)
    of_subjects, unordered = subject_figures(networks, plan)
    sheets.known_gestures(options.pictures / "known_gestures.png", known_files, known)
    sheets.base_subjects(options.pictures / "base_subjects.png", test_files, tests)
    return {
        **classifier_figures(networks, trip, plan),
        "base_known_gestures": of_known,
        **seen.figures(),
        "base_targets_language": of_language,
        **of_subjects,
        **compared.figures(copy),
        "copied_base": seen.copied(copy),
        "seconds_300_videos": maker.seconds("test", tests),
        "known_gestures": each_known,
        "targets_token": seen.by_target(),
        "targets_language": each_target,
        "also": {**unordered, **seen.also(), **compared.also(copy)},
        "thresholds": thresholds,
    }


def _trainings(weights: Path) -> dict[str, Any]:
    file = weights / TRAININGS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _made(options: CardOptions) -> dict[str, Any]:
    quick = " --quick" if options.plan == QUICK else ""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"{COMMAND}{quick} --threads {options.threads}",
        "machine": {"processor": processor(), "threads": options.threads},
        "versions": {name: version(name) for name in ("torch", "diffusers", "open_clip_torch")},
        "counts": asdict(options.plan),
    }
