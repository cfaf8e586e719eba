"""An exported pipeline on the Hugging Face hub."""

from pathlib import Path
from typing import NoReturn

from vmc.errors import VmcError


def check_upload(name: str) -> None:
    """What would keep an upload from working, as far as it can be told without the network.

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

    api = HfApi()
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository.repo_id, folder_path=folder, commit_message="Pipeline exported by vmc")
    except Exception as error:  # the library's own network errors are of many kinds
        _explain(folder, name, error)
    return str(repository)


def _explain(folder: Path, name: str, error: Exception) -> NoReturn:
    status = getattr(getattr(error, "response", None), "status_code", None)
    first = (str(error).strip().splitlines() or [""])[0]
    if status in (401, 403):
        reason = f"the hub refuses it ({status}); log in with `hf auth login` as somebody who may write there"
    elif status is None:
        reason = f"the hub cannot be reached ({type(error).__name__}: {first})"
    else:
        reason = f"the hub refuses it ({first})"
    raise VmcError(
        f"{folder} is exported but not uploaded to {name}: {reason}; the same command tries again"
    ) from error
