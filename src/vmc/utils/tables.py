"""Tables of texts, formatted for the terminal, in Markdown and in LaTeX."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass


def align(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    """A line for each row, with two spaces between columns; those in `left` are align left, others right."""
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
# Where lines of a narrow cell may break: before and after an interval, and in headings.
BREAKS = re.compile(r" (?=\()|(?<=\)), | (?=at step)|(?<=Paper:) |(?<=from the) ")
WORDS = "0.12\\linewidth"  # width of a column of words
MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Texts as people read them, free of any markup; the writers escape them."""

    name: str  # of its files
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rules: frozenset[int] = frozenset()  # places of the rows that have a line above them
    notes: Sequence[str] = ()  # below the table
    left: frozenset[int] = frozenset({0})  # places of the columns that hold words, and are align left


def to_markdown(table: TextTable, *, level: int = 2) -> str:
    """Format a table in Markdown: a heading, the table, and its notes as a list."""
    ends = [":--" if column in table.left else "--:" for column in range(len(table.header))]
    header, *rows = [[escape_markdown(text) for text in row] for row in (table.header, *table.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (header, ends, *rows)]
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    parts = [f"{'#' * level} {escape_markdown(table.title)}", "\n".join(lines), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_latex(table: TextTable) -> str:
    r"""Format a table as a `table*` in the style of booktabs; needs `\usepackage{booktabs,graphicx}`.

    Interval and p-value are below their number, and words wrap, since a page is narrower than a browser. Tables that
    are still too wide are scaled down.
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
    """Format a table for the terminal, without its notes."""
    lines = align([table.header, *table.rows], left=table.left)
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def escape_markdown(text: str) -> str:
    """Escape a text for Markdown."""
    return _one_line(text).translate(MARKDOWN)


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX, including the signs that tables use."""
    return "".join(LATEX.get(sign, sign) for sign in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex_line(cells: Sequence[str], left: frozenset[int]) -> str:
    texts = [
        f"\\raggedright {escape_latex(text)}" if column in left and text else _stacked(text)
        for column, text in enumerate(cells)
    ]
    return " & ".join(texts) + r" \\"


def _stacked(text: str) -> str:
    """A narrow cell of several lines, align at the first."""
    lines = [escape_latex(part) for part in BREAKS.split(text)]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}[t]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"
