"""The page of an exported pipeline, and the pipeline on the Hugging Face hub.

It is a `README.md` with the metadata that the hub reads, made of `model_card.md.jinja`. No path of the machine stands
in it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

import vmc
from vmc.data.captions import fill
from vmc.data.prompts import prompt_of
from vmc.models.base import VideoModel
from vmc.runs.earlier_versions import read_config
from vmc.tools.downloads import SOURCES, HubSource
from vmc.training.merging import ScaledRun
from vmc.utils.errors import VmcError, first_line
from vmc.utils.files import sha256_of

CARD = "README.md"
UNNAMED = 'from_pretrained("THIS FOLDER"'
"""What a card says where it is not known by which name the folder can be had."""
SETTINGS = (
    *("arm", "init", "parameters", "token", "batch_size", "seed", "optimizer", "objective", "timesteps"),
    *("regularization", "data"),
)
"""Keys of a run's config that say how its weights were made."""
LICENSES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CreativeML Open RAIL-M": "creativeml-openrail-m"}
"""Names -> what the hub calls them."""


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
    """Write the page of a base model, of several runs, or of a run's weights with the newest evaluation that came no
    later than they.

    Args:
        base: the base model.
        fingerprint: of what the pipeline was made from, so that the folder is known again.
        sampler: steps and guidance.
        name: where it can be had; None where that is not known.
        run: the run folder; None for the base model itself.
        step: of the weights.
        merged: the runs whose sum it is, in place of one.
    """
    path = str(base.path)
    on_hub = not Path(path).expanduser().exists()
    short, license = base_license(path)
    metadata = {
        **({"license": short} if short else {}),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-video",
        **({"base_model": path} if on_hub else {}),
        "tags": ["text-to-video", "motion-customization"],
    }
    runs = [_about(run, step=step)] if run else []
    for one in merged:
        made_of = {"scale": one.scale, "sha256": sha256_of(one.weights)}
        runs.append(_about(one.path, step=one.step, **made_of) | {"motion": one.motion, "scale": f"{one.scale:g}"})
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.filters["line"] = lambda text: " ".join(text.split())
    return environment.from_string(Path(__file__).with_name("model_card.md.jinja").read_text(encoding="utf-8")).render(
        {"base": base, "fingerprint": fingerprint, "name": name, "sampler": sampler, "licence": license, "runs": runs},
        base_name=path if on_hub else Path(path).name,
        learned=_learned(run) if run else None,
        measured=_measured(run, step) if run else None,
        metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        quoted=json.dumps(runs[0]["prompt"] if runs else "a man", ensure_ascii=False),
        version=vmc.__version__,
    )


def _about(run: Path, **more: Any) -> dict[str, Any]:
    """Collect a run's motion, a prompt, its words, and its settings as YAML."""
    config = read_config(run)
    made = more | _without_paths({key: config[key] for key in SETTINGS if config.get(key) is not None})
    return {
        "motion": config["motion"]["name"],
        "prompt": _prompt(config),
        "word": config["token"]["word"],
        "subject_word": _words(config).get("subject_token"),
        "made": yaml.safe_dump(made, sort_keys=False, allow_unicode=True),
    }


def _without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what names a place on the machine or is not set."""
    found = {}
    for key, value in settings.items():
        if value is None or "path" in key or (isinstance(value, str) and "/" in value):
            continue
        found[key] = _without_paths(value) if isinstance(value, Mapping) else value
    return found


def _learned(run: Path) -> list[tuple[str, str, str]]:
    """Count the clips of each role and caption."""
    if not (run / "clips.csv").is_file():
        return []
    clips = pd.read_csv(run / "clips.csv", keep_default_na=False)
    counts = clips.groupby(["role", "caption"], sort=False).size().reset_index(name="clips")
    return [(str(row.clips), str(row.role), str(row.caption).replace("|", "\\|")) for row in counts.itertuples()]


def _measured(run: Path, step: int) -> dict[str, Any] | None:
    """Read the newest summary after 1 to `step` steps; step 0 is the base model's."""
    found = [file for file in (run / "evaluation").glob("*/summary.json") if file.parent.name.isdigit()]
    newest = max((file for file in found if 0 < int(file.parent.name) <= step), default=None)
    return None if newest is None else json.loads(newest.read_text(encoding="utf-8"))


def _prompt(config: Mapping[str, Any]) -> str:
    """Fill the motion's prompt with its word and a subject."""
    motion, words, subject = config["motion"], _words(config), "A firefighter"
    if "subject_token" in words:
        caption = config["subject"].get("caption") or "A {subject_token} person"
        subject = fill(caption.strip().rstrip("."), **words)
    return fill(motion["prompt"] or prompt_of(motion["caption"]), subject=subject, **words)


def _words(config: Mapping[str, Any]) -> dict[str, str]:
    """Read what stands for `{token}`, and for `{NAME_token}` of each further token."""
    further = config["token"].get("further") or {}
    return {"token": str(config["token"]["word"])} | {f"{name}_token": one["word"] for name, one in further.items()}


def base_license(base: str) -> tuple[str | None, str]:
    """Find the licence of a base model: as the hub abbreviates it, where that is known, and as a sentence."""
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
