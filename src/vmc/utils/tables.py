"""Tables of texts: in columns for the terminal, as Markdown, CSV and LaTeX."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    """A line a row, with two spaces between columns: those of `left` are set from the left, others from the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$", "—": "---", "±": r"$\pm$"},
    **{"×": r"$\times$", "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$", "§": r"$^{\S}$", "*": "$^{*}$"},
}
BREAKS = re.compile(r" (?=\()|(?<=\)), | (?=at step)|(?<=Paper:) |(?<=from the) ")
"""Where a narrow cell may be broken: before an interval and after it, and in headings."""
WORDS = "0.12\\linewidth"
MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Texts as people read them, free of any markup; the writers escape them.

    Args:
        name: of its files.
        title: above it.
        header: of the columns.
        rows: of as many texts each.
        rules: rows that a line is drawn above, by their place.
        notes: below it.
        left: columns that hold words, and are set from the left.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rules: frozenset[int] = frozenset()
    notes: Sequence[str] = ()
    left: frozenset[int] = frozenset({0})


def to_markdown(table: TextTable, *, level: int = 2) -> str:
    """A heading, the table, and its notes as a list."""
    ends = [":--" if column in table.left else "--:" for column in range(len(table.header))]
    lines = [_markdown_line([escape_markdown(text) for text in table.header]), _markdown_line(ends)]
    lines += [_markdown_line([escape_markdown(text) for text in row]) for row in table.rows]
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    parts = [f"{'#' * level} {escape_markdown(table.title)}", "\n".join(lines), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_latex(table: TextTable) -> str:
    r"""A `table*` in the style of booktabs; needs `\usepackage{booktabs,graphicx}`.

    Interval and p-value go below their number and words wrap, as the page is narrower than a browser; what is still
    too wide is made smaller.
    """
    kinds = "".join(f"p{{{WORDS}}}" if column in table.left else "r" for column in range(len(table.header)))
    lines = [
        *("% needs \\usepackage{booktabs,graphicx}", "\\begin{table*}", "\\centering", "\\scriptsize"),
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{escape_latex(table.title.partition(': ')[2] or table.title)}}}",
        f"\\label{{tab:{table.name}}}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
        "\\toprule",
        _latex_line(table.header, table.left),
        "\\midrule",
    ]
    for place, row in enumerate(table.rows):
        if place:
            lines.append("\\midrule" if place in table.rules else "\\addlinespace[2pt]")
        lines.append(_latex_line(row, table.left))
    lines += ["\\bottomrule", "\\end{tabular}}"]
    if table.notes:
        lines += ["\\par\\smallskip", "\\begin{minipage}{\\linewidth}\\raggedright"]
        lines += [f"{escape_latex(note)}\\par" for note in table.notes]
        lines.append("\\end{minipage}")
    return "\n".join([*lines, "\\end{table*}"]) + "\n"


def to_terminal(table: TextTable) -> str:
    """Columns of equal width, without the notes."""
    lines = aligned([table.header, *table.rows], left=table.left)
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _one_line(text).translate(MARKDOWN)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is, the signs that tables use among it."""
    return "".join(LATEX.get(sign, sign) for sign in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex_line(cells: Sequence[str], left: frozenset[int]) -> str:
    texts = [
        f"\\raggedright {escape_latex(text)}" if column in left and text else _stacked(text)
        for column, text in enumerate(cells)
    ]
    return " & ".join(texts) + r" \\"


def _stacked(text: str) -> str:
    """A narrow cell of several lines, its first one beside those of its neighbours."""
    lines = [escape_latex(part) for part in BREAKS.split(text)]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}[t]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"
