"""`python -m vmc.weights get NAME` downloads published weights, `check FILE` tells whether a local file is in order."""

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vmc.tools.downloads import SOURCES, FileSource, HubSource, weights_folder
from vmc.utils.errors import VmcError, print_errors


@print_errors
def main(words: Sequence[str] | None = None) -> int:
    """Get or check; the exit status: 0 done, 2 something the user can put right."""
    parser = ArgumentParser(prog="python -m vmc.weights", description="Gets published weights, and checks local ones.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "; ".join(f"{name}: {source.title}, about {source.size:g} GB" for name, source in SOURCES.items())
    getting = commands.add_parser("get", help="download a network, or say that it is there", description=f"{about}.")
    getting.add_argument("name", choices=list(SOURCES), metavar="NAME", help=", ".join(SOURCES))
    folder = "of single files ($VMC_WEIGHTS, else weights); the hub's pipelines go to its own cache"
    getting.add_argument("--folder", type=Path, metavar="DIR", help=folder)
    getting.set_defaults(run=get)
    checking = commands.add_parser("check", help="tell whether a file or folder is what its loader needs")
    checking.add_argument("file", type=Path, metavar="FILE", help="weights, or the folder of a pipeline")
    kinds = "pipeline, delta, trn, tsm, sscd, clip or video-classifier (found out by its content)"
    checking.add_argument("--as", dest="kind", metavar="KIND", help=kinds)
    architecture = "open_clip's name for a file of CLIP weights (ViT-B-32-quickgelu)"
    checking.add_argument("--architecture", default="ViT-B-32-quickgelu", metavar="NAME", help=architecture)
    checking.add_argument("--labels", type=Path, metavar="FILE", help="a classifier's classes, one a line (Jester's)")
    checking.set_defaults(run=check)
    arguments = parser.parse_args(words)
    arguments.run(arguments)
    return 0


def get(arguments: Namespace) -> None:
    """Download what is not there, and compare it with the checksum that is published or recorded."""
    source = SOURCES[arguments.name]
    if isinstance(source, HubSource) and arguments.folder is not None:
        raise VmcError(
            f"--folder is {arguments.folder}, but {arguments.name} goes to the hub's own cache: leave --folder out,"
            " and set HF_HOME where the cache should lie elsewhere"
        )
    print(f"{source.title}, about {source.size:g} GB\nlicence: {source.license}", flush=True)
    if isinstance(source, FileSource):
        return _get_file(source, arguments.folder or weights_folder())
    from vmc.tools.downloads import check_contents, get_repository

    wanted = [(source.repository, source.family), *((name, None) for name in source.beside)]
    for folder in [get_repository(repository, family) for repository, family in wanted]:
        compared = check_contents(folder)
        print(f"{folder}\n{compared} large files have the SHA-256 that the hub publishes; revision {folder.name}")


def _get_file(source: FileSource, folder: Path) -> None:
    from vmc.tools.downloads import get_file, record_of
    from vmc.tools.weight_kinds import check as check_kind

    path, inspect = folder / source.name, partial(check_kind, kind=source.kind)
    downloaded = get_file(source.url, path, sha256=source.sha256, inspect=inspect)
    record = record_of(path)
    print(f"{path} {'is downloaded' if downloaded else 'is there'}; SHA-256 {record['sha256']} ({record['checksum']})")
    if folder.resolve() != weights_folder().resolve():
        print(f"runs look for it in {weights_folder()}, unless VMC_WEIGHTS={shlex.quote(str(folder.resolve()))} is set")


def check(arguments: Namespace) -> None:
    """Open a file by its loader and say what it is."""
    from vmc.tools.weight_kinds import check as check_kind

    named = {"kind": arguments.kind, "architecture": arguments.architecture, "labels": arguments.labels}
    print(check_kind(arguments.file, **named))


if __name__ == "__main__":
    sys.exit(main())
