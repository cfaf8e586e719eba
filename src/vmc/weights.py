"""`python -m vmc.weights get NAME` downloads published weights, `check FILE` tells whether a local file is in order."""

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vmc.tools.downloads.sources import SOURCES, FileSource, HubSource, weights_folder
from vmc.utils.errors import VmcError

KINDS = ("pipeline", "delta", "trn", "tsm", "sscd", "clip", "video-classifier")
"""Those of `vmc.tools.downloads.kinds`, which is imported only where it is needed."""


def main(words: Sequence[str] | None = None) -> int:
    """Gets or checks; the exit status: 0 done, 2 something the user can put right."""
    arguments = _parser().parse_args(words)
    try:
        if arguments.command == "get":
            get(arguments)
        else:
            check(arguments)
    except VmcError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m vmc.weights", description="Gets published weights, and checks local ones.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = "; ".join(f"{name}: {source.title}, about {source.size:g} GB" for name, source in SOURCES.items())
    getting = commands.add_parser("get", help="download a network, or say that it is there", description=f"{about}.")
    getting.add_argument("name", choices=list(SOURCES), metavar="NAME", help=", ".join(SOURCES))
    folder = "of single files ($VMC_WEIGHTS, else weights); the hub's pipelines go to its own cache"
    getting.add_argument("--folder", type=Path, metavar="DIR", help=folder)
    checking = commands.add_parser("check", help="tell whether a file or folder is what its loader needs")
    checking.add_argument("file", type=Path, metavar="FILE", help="weights, or the folder of a pipeline")
    checking.add_argument("--as", dest="kind", choices=KINDS, help="what it should be (found out by its content)")
    architecture = "open_clip's name for a file of CLIP weights (ViT-B-32-quickgelu)"
    checking.add_argument("--architecture", default="ViT-B-32-quickgelu", metavar="NAME", help=architecture)
    checking.add_argument("--labels", type=Path, metavar="FILE", help="a classifier's classes, one a line (Jester's)")
    return parser


def get(arguments: Namespace) -> None:
    """Downloads what is not there.

    Raises:
        VmcError: it cannot be had, or is not what is published.
    """
    source = SOURCES[arguments.name]
    if isinstance(source, HubSource) and arguments.folder is not None:
        raise VmcError(
            f"--folder is {arguments.folder}, but {arguments.name} goes to the hub's own cache: leave --folder out,"
            " and set HF_HOME where the cache should lie elsewhere"
        )
    print(f"{source.title}, about {source.size:g} GB\nlicence: {source.licence}", flush=True)
    if isinstance(source, HubSource):
        _get_pipeline(source)
    else:
        _get_file(source, arguments.folder or weights_folder())


def _get_pipeline(source: HubSource) -> None:
    from vmc.tools.downloads.hub import check_contents, get_network, get_pipeline

    folders = [get_pipeline(source.repository, source.family), *(get_network(name) for name in source.beside)]
    for folder in folders:
        compared = check_contents(folder)
        print(f"{folder}\n{compared} large files have the SHA-256 that the hub publishes; revision {folder.name}")


def _get_file(source: FileSource, folder: Path) -> None:
    from vmc.tools.downloads.hub import hub_is_offline
    from vmc.tools.downloads.kinds import check as check_kind
    from vmc.tools.downloads.part import read_json
    from vmc.tools.downloads.transfer import Transfer

    path = folder / source.name
    transfer = Transfer(
        url=source.url, path=path, sha256=source.sha256, inspect=lambda file: check_kind(file, kind=source.kind)
    )
    downloaded = transfer.get(offline=hub_is_offline())
    record = read_json(transfer.record)
    print(f"{path} {'is downloaded' if downloaded else 'is there'}; SHA-256 {record['sha256']} ({record['checksum']})")
    if folder.resolve() != weights_folder().resolve():
        print(f"runs look for it in {weights_folder()}, unless VMC_WEIGHTS={shlex.quote(str(folder.resolve()))} is set")


def check(arguments: Namespace) -> None:
    """Opens the file by its loader and says what it is.

    Raises:
        VmcError: it is not what its loader needs.
    """
    from vmc.tools.downloads.kinds import Options
    from vmc.tools.downloads.kinds import check as check_kind

    options = Options(architecture=arguments.architecture, labels=arguments.labels)
    print(check_kind(arguments.file, kind=arguments.kind, options=options))


if __name__ == "__main__":
    sys.exit(main())
