"""`vmc VERB` and `python -m vmc VERB`: the same as `python -m vmc.VERB`."""

import runpy
import sys

VERBS = ("train", "generate", "evaluate", "report", "weights", "prepare", "doctor", "bench", "proof", "rates", "mini")


def main() -> None:
    """Run the entry point that the first word names, with the words after it.

    The exit code is the entry point's; 2 where there is none of that name.
    """
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in VERBS:
        asked = verb in ("", "-h", "--help")
        print(f"usage: vmc VERB ...; VERB is one of {', '.join(VERBS)}" + ("" if asked else f", not {verb!r}"))
        sys.exit(0 if verb in ("-h", "--help") else 2)
    del sys.argv[1]
    runpy.run_module(f"vmc.{verb}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
