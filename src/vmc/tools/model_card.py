"""The page of an exported pipeline, and the pipeline on the Hugging Face hub.

It is a `README.md` with the metadata that the hub reads, made of `model_card.md.jinja`. No path of the machine stands
in it.
"""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

import vmc
from vmc.data.clips import fill
from vmc.data.motion import prompt_of
from vmc.models.base import VideoModel
from vmc.runs.folder import read_config
from vmc.runs.scaled import ScaledRun
from vmc.tools.downloads import SOURCES, HubSource
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import fingerprint as sha256_of

CARD = "README.md"
EXAMPLES = 6
"""Prompts of the test set that are shown."""
LICENSES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CreativeML Open RAIL-M": "creativeml-openrail-m"}
"""Names -> what the hub calls them."""
FIRST_OBJECTIVE = {"_target_": "vmc.diffusion.objective.Denoising"}
"""Of runs that name none: the only one there was."""


def card_text(
    base: VideoModel,
    *,
    fingerprint: str,
    sampler: Mapping[str, Any],
    name: str | None = None,
    run: Path | None = None,
    step: int = 0,
    merged: Sequence[ScaledRun] = (),
) -> str:
    """The page of a base model, of several runs, or of a run's weights with the newest evaluation that came no later
    than they.

    Args:
        base: the base model.
        fingerprint: SHA-256 of what the pipeline was made from, so that the folder is known again.
        sampler: steps and guidance.
        name: where it can be had; None where that is not known.
        run: the run folder; None for the base model itself.
        step: of the weights.
        merged: the runs whose sum it is, in place of one.
    """
    path, config = str(base.path), run and read_config(run)
    on_hub = not Path(path).expanduser().exists()
    base_name = path if on_hub else Path(path).name
    short, license = base_license(path)
    metadata = {
        **({"license": short} if short else {}),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-video",
        **({"base_model": path} if on_hub else {}),
        "tags": ["text-to-video", "motion-customization"],
    }
    several = [_merged(one, base_name) for one in merged]
    prompt = _prompt(config) if config else several[0]["prompt"] if several else None
    shown = {"prompts": (), "summary": None, **(_learned(run, config, base_name, step) if run and config else {})}
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.filters["line"] = _line
    return environment.from_string(Path(__file__).with_name("model_card.md.jinja").read_text(encoding="utf-8")).render(
        {"base": base, "base_name": base_name, "config": config, "fingerprint": fingerprint, "licence": license},
        merged=several,
        metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        name=name,
        prompt=prompt,
        quoted=json.dumps(prompt or "a man", ensure_ascii=False),
        sampler=sampler,
        table=_table,
        version=vmc.__version__,
        **shown,
    )


def _learned(run: Path, config: Mapping[str, Any], base_name: str, step: int) -> dict[str, Any]:
    """What the page shows of a run: its clips, its settings, and its newest evaluation where there is one."""
    clips, summary = _rows(run / "clips.csv"), _newest_summary(run, step)
    counts = Counter((row["role"], row["caption"]) for row in clips)
    shown: dict[str, Any] = {
        "learned": [(str(count), role, caption) for (role, caption), count in counts.items()],
        "exemplars": sum(row["role"] == "exemplar" for row in clips),
        "word": config["token"]["word"],
        "subject_word": _further_words(config).get("subject_token"),
        "made": _settings(config, base_name, step),
    }
    if summary:
        prompts = list(dict.fromkeys(row["prompt"] for row in _rows(summary.with_name("scores.csv"))))
        count = min(EXAMPLES, len(prompts))
        shown["prompts"] = [prompts[place * len(prompts) // count] for place in range(count)]
        shown["summary"] = found = json.loads(summary.read_text(encoding="utf-8"))
        metrics = [(name, part) for name, part in found["metrics"].items() if part["value"] is not None]
        shown["measured"] = [(name, f"{part['value']:.4f}", _interval(part)) for name, part in metrics]
    return shown


def _merged(run: ScaledRun, base_name: str) -> dict[str, Any]:
    """What the page shows of one run of several."""
    config = read_config(run.path)
    made = [("scale", f"{run.scale:g}"), *_settings(config, base_name, run.step), ("SHA-256", sha256_of(run.weights))]
    return {"motion": run.motion, "scale": f"{run.scale:g}", "prompt": _prompt(config), "made": made}


def _prompt(config: Mapping[str, Any]) -> str:
    """The motion's prompt with its word and a subject in place."""
    motion, token = config["motion"], config["token"]
    words = _further_words(config)
    subject = "A firefighter"
    if "subject_token" in words:
        subject = fill((config["subject"].get("caption") or "A {subject_token} person").strip().rstrip("."), **words)
    template = motion["prompt"] or prompt_of(motion["caption"])
    return fill(template, token=str(token["word"]), subject=subject, **words)


def _further_words(config: Mapping[str, Any]) -> dict[str, str]:
    """What stands for `{NAME_token}` of every token but the motion's."""
    return {f"{name}_token": one["word"] for name, one in (config["token"].get("further") or {}).items()}


def _newest_summary(run: Path, step: int) -> Path | None:
    """After 1 to `step` steps: step 0 is the base model's."""
    found = [file for file in (run / "evaluation").glob("*/summary.json") if file.parent.name.isdigit()]
    return max((file for file in found if 0 < int(file.parent.name) <= step), default=None)


def _settings(config: Mapping[str, Any], base_name: str, step: int) -> list[tuple[str, str]]:
    chosen, data, token = config.get("parameters") or {}, config["data"], config["token"]
    groups = chosen.get("groups", [_describe(chosen or None)])  # a subset of another kind has none
    return [
        ("base model", base_name),
        ("arm", config["arm"]),
        *([("started from", config["init"])] if config.get("init") else []),
        ("trained parameters", ", ".join(groups) or "the token alone"),
        ("token", _told(token)),
        *((f"{name}'s token", _told(one)) for name, one in (token.get("further") or {}).items()),
        ("steps, batch, seed", f"{step}, {config['batch_size']}, {config['seed']}"),
        ("learning rate", f"{config['optimizer']['lr']:g}"),
        ("objective", _describe(config.get("objective") or FIRST_OBJECTIVE)),
        ("timesteps", _describe(config["timesteps"])),
        ("regularization", _describe(config["regularization"])),
        ("clips in training", f"{data['frames']} frames of {data['size']} px, {data['fps']:g} a second"),
    ]


def _told(token: Mapping[str, Any]) -> str:
    return f"{token['word']}, {'trained' if token.get('trained') else 'frozen'}"


def base_license(base: str) -> tuple[str | None, str]:
    """The licence of a base model: as the hub abbreviates it, where that is known, and as a sentence."""
    from huggingface_hub import ModelCard

    readme = Path(base).expanduser() / CARD
    if readme.is_file():
        try:
            license = ModelCard.load(readme).data.license
        except Exception:  # whatever stands in a README
            license = None
        if isinstance(license, str):
            return license, f"It names {license}."
    for source in SOURCES.values():
        if isinstance(source, HubSource) and source.repository == base:
            short = next((short for name, short in LICENSES.items() if source.license.startswith(name)), None)
            return short, f"It is {source.license}."
    return None, "It is not known here: look it up before these weights are given to others."


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _describe(node: Mapping[str, Any] | None) -> str:
    """What a config's part is: the name of its class and its plain values."""
    if node is None:
        return "none"
    values = {key: value for key, value in node.items() if isinstance(value, int | float | str)}
    told = ", ".join(f"{key} {value}" for key, value in values.items() if key not in ("_target_", "path"))
    return str(node["_target_"]).rpartition(".")[2] + (f" ({told})" if told else "")


def _interval(part: Mapping[str, float | None]) -> str:
    return "" if part["low"] is None else f"{part['low']:.4f} to {part['high']:.4f}"


def _line(text: str) -> str:
    """A text of several lines in one, as a list or a table of Markdown holds it."""
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


# --- the hub ---


def check_upload(name: str) -> None:
    """Refuse what would keep an upload from working, as far as it can be told without the network.

    Raises:
        VmcError: no name of a repository, offline, or nobody is logged in.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise VmcError(f"push is {name}, which is no name of a hub repository; give USER/NAME") from error
    if constants.HF_HUB_OFFLINE:
        raise VmcError(f"push is {name}, but HF_HUB_OFFLINE is set; go online, or leave push out")
    if get_token() is None:
        raise VmcError(f"push is {name}, but nobody is logged in to the hub; run `hf auth login` or set HF_TOKEN")


def upload(folder: Path, name: str, *, private: bool) -> str:
    """Put all files of a folder into a repository, which is made where it is not there; its address.

    A repository that is there keeps its visibility, and in its history what it held.

    Raises:
        VmcError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    try:
        repository = HfApi().create_repo(name, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=repository.repo_id, folder_path=folder, commit_message="Pipeline exported by vmc")
    except Exception as error:  # the library's own network errors are of many kinds
        status = getattr(getattr(error, "response", None), "status_code", None)
        first = first_line(error)
        reason = f"the hub refuses it ({first})"
        if status in (401, 403):
            reason = f"the hub refuses it ({status}); log in with `hf auth login` as somebody who may write there"
        elif status is None:
            reason = f"the hub cannot be reached ({type(error).__name__}: {first})"
        told = f"{folder} is exported but not uploaded to {name}: {reason}"
        raise VmcError(f"{told}; the same command tries again") from error
    return str(repository)
