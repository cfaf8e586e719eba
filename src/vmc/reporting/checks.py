"""What runs must have in common to stand in one table: base model, test set, protocol, threshold; each run once."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vmc.reporting.loaded_runs import FINGERPRINT, Control, FoundRun
from vmc.reporting.table_arms import CEILING
from vmc.runs.resuming import differing_keys
from vmc.utils.errors import VmcError
from vmc.utils.text_files import shortened

OF_THE_MOTION = ("prompts", "*.target")
"""Parts of a protocol, of whatever metric, that differ between motions: prompts hold it in natural language."""
OF_THE_SEED = ("*.exemplars",)  # parts that differ between motions and training seeds, which draw other exemplars
OF_THE_ARM = ("*.regularization",)  # parts that differ between arms
OF_THE_MODEL = ("sampler", "latents")  # parts that decide what a model makes, and nothing about clips that were filmed


def set_aside(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """Find runs of motions that bring a test set or classes of their own, as those of the paper's Figure 4 do.

    They cannot stand in a table with the others. What most runs have that stop at a threshold, as such motions' do not,
    is a table's; a motion whose own runs differ stays, to be refused.
    """

    def kind(run: FoundRun) -> str:
        metrics, prompts = run.config.get("metrics") or {}, run.config.get("prompts") or {}
        labels = (metrics.get("classifier") or {}).get("labels")
        return json.dumps([prompts.get("file"), labels], sort_keys=True, default=str)

    counting = [run for run in runs if run.counts]
    kinds, stopping = Counter(map(kind, counting)), Counter(kind(run) for run in counting if run.threshold is not None)
    usual = max(kinds, key=lambda one: (stopping[one], kinds[one]), default="")
    staying = {run.motion for run in runs if kind(run) == usual}
    return [run for run in runs if counting and run.motion not in staying and not run.damaged]


def check_once(runs: Sequence[FoundRun]) -> None:
    """Refuse two runs of one arm, motion and seed that both stop, or both do not; damaged ones are only listed."""
    seen: dict[tuple[object, ...], FoundRun] = {}
    for run in (run for run in runs if not run.damaged):
        other = seen.setdefault((run.arm, *run.place, run.threshold is None), run)
        if other is not run:
            raise VmcError(
                f"{other.path} and {run.path} are both arm {run.arm} of {run.label}; give a folder that holds one of"
                " them"
            )


def check_comparable(runs: Sequence[FoundRun], controls: Sequence[Control] = ()) -> None:
    """Refuse runs of other base models, test sets or protocols. A run that was never evaluated stands in no table."""
    if counting := [run for run in runs if run.counts]:
        # Bases: each run against the first, and against the first that knows its base's fingerprint.
        for first in (counting[0], *[run for run in counting if FINGERPRINT in run.base][:1]):
            for run in counting:
                # Where both fingerprints are known they decide, and the same model may lie elsewhere.
                unneeded = "path" if FINGERPRINT in first.base and FINGERPRINT in run.base else FINGERPRINT
                one, other = ({k: v for k, v in each.base.items() if k != unneeded} for each in (first, run))
                _check_equal(one, other, first, run, what="base models", prefix="model")
        for run in counting[1:]:
            one, other = (each.config.get("prompts", {}) for each in (counting[0], run))
            _check_equal(one, other, counting[0], run, what="test sets", prefix="prompts")
        _check_protocols(counting)
        for control in controls:
            if different := other_protocol(counting, control):
                raise VmcError(
                    f"{control.scored.folder} is of another protocol than the runs ({', '.join(different)} differ);"
                    " remove it, or score it with the runs' settings and metrics"
                )


def common_threshold(runs: Sequence[FoundRun], *, chosen: float | None) -> float | None:
    """Return the appearance score at which arms are compared: the chosen one, else the runs' own; None without any.

    A VmcError where it is no number, or the runs stop at differing scores.
    """
    if chosen is not None:
        if not isinstance(chosen, int | float) or not math.isfinite(chosen):
            raise VmcError(f"stop.appearance is {chosen}; it must be a number to compare arms at, or null")
        return float(chosen)
    first: dict[float, FoundRun] = {}
    for run in [run for run in runs if run.counts] or runs:
        if run.threshold is not None:
            first.setdefault(float(run.threshold), run)
    if len(first) > 1:
        (one, run), (other, second) = list(first.items())[:2]
        raise VmcError(
            f"stop.appearance is {one} in {run.path} and {other} in {second.path}; give stop.appearance=NUMBER to"
            " compare all arms there"
        )
    return next(iter(first), None)


def _check_protocols(runs: Sequence[FoundRun]) -> None:
    """Compare every part with the first run that has it, the first of its motion, and of its motion and seed.

    A metric that one run has and another has not is an empty cell, and no difference.
    """
    first: dict[tuple[object, ...], dict[str, tuple[Any, FoundRun]]] = {}
    for run, protocol in [(one, scored.summary["protocol"]) for one in runs for scored in one.evaluations.values()]:
        for place, parts, what in (
            ((run.motion,), _split(protocol, OF_THE_MOTION)[0], "test sets"),
            ((), _split(protocol, (*OF_THE_MOTION, *OF_THE_SEED, *OF_THE_ARM))[1], "protocols"),
            (run.place, _split(protocol, OF_THE_SEED)[0], "exemplars"),
        ):
            known = first.setdefault(place, {})
            for name, part in parts.items():
                known.setdefault(name, (part, run))
            for earlier in {id(owner): owner for _, owner in known.values()}.values():
                theirs = {name: part for name, (part, owner) in known.items() if owner is earlier and name in parts}
                _check_equal(theirs, {name: parts[name] for name in theirs}, earlier, run, what=what)


def other_protocol(runs: Sequence[FoundRun], control: Control) -> list[str]:
    """List the keys in which a control's protocol differs from the runs'. Controls have other prompts, real clips no
    sampler; all else that both have must be that of the runs.
    """
    protocols = [scored.summary["protocol"] for run in runs for scored in run.evaluations.values()][:1]
    if not protocols:
        return []
    aside = (*OF_THE_MOTION, *OF_THE_SEED, *OF_THE_ARM, *(OF_THE_MODEL if control.kind == CEILING else ()))
    one, other = (_split(each, aside)[1] for each in (*protocols, control.scored.summary["protocol"]))
    both = [name for name in one if one[name] and other.get(name)]
    return differing_keys({name: one[name] for name in both}, {name: other[name] for name in both})


def _check_equal(one: Any, other: Any, first: FoundRun, second: FoundRun, *, what: str, prefix: str = "") -> None:
    if different := differing_keys(one, other, prefix):
        inside = [_value_at(part, different[0].removeprefix(prefix).strip(".")) for part in (one, other)]
        others = f" ({', '.join(different[1:])} differ too)" if different[1:] else ""
        words = [str((run.config.get("token") or {}).get("word")) for run in (first, second)]
        if different == ["prompts"] and words[0] != words[1]:  # two words tell more than two hashes
            different, inside = ["token.word"], words
        raise VmcError(
            f"{first.path} and {second.path} have different {what} and do not belong in one table:"
            f" {different[0]} is {inside[0]} and {inside[1]}{others}; give a folder whose runs belong together"
        )


def _split(protocol: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a protocol into its named parts, by dotted name (`*.NAME` is that part of every metric), and the rest."""
    named, rest = {key: part for key, part in protocol.items() if key in names}, dict[str, Any]()
    for key, part in protocol.items():
        inner = [name for name in part if f"*.{name}" in names] if isinstance(part, Mapping) else []
        named |= {f"{key}.{name}": part[name] for name in inner}
        if key not in names:
            rest[key] = {name: part[name] for name in part if name not in inner} if inner else part
    return named, rest


def _value_at(node: Any, name: str) -> str:
    """Return the value under a dotted name, for a message; a name that itself holds a dot is tried first."""
    for part in [name] if isinstance(node, Mapping) and name in node else name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return "not set" if node is None else shortened(" ".join(str(node).split()), 60)
