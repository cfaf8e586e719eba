"""`report.md`: all tables and figures on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vmc.runs.reporting.text_table import TextTable, escape_markdown, to_markdown


def page(*, runs: Path, tables: Sequence[TextTable], figures: Mapping[str, str], damaged: Sequence[str] = ()) -> str:
    """Markdown.

    Args:
        runs: the folder that was reported on.
        tables: in order.
        figures: captions by the name of the figure's files.
        damaged: what is left out of all of it, and why.
    """
    gallery = "All videos side by side, with what stands here: [index.html](index.html).\n"
    parts = [f"# Report on {escape_markdown(str(runs))}\n", gallery]
    if damaged:
        parts.append("\n".join(f"- {escape_markdown(one)}" for one in damaged) + "\n")
    parts += [to_markdown(table) for table in tables]
    if figures:
        parts.append("## Figures\n")
    for name, caption in figures.items():
        parts.append(f"![{name}](figures/{name}.png)\n\n{escape_markdown(caption)} ([SVG](figures/{name}.svg))\n")
    return "\n".join(parts)
