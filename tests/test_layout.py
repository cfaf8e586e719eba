"""The house: which room may import which, in the order of CONTRIBUTING.md, and how names are spelled."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
RANKS = (
    ("utils",),
    ("diffusion",),
    ("models", "metrics", "data"),
    ("runs",),
    ("training", "evaluation"),
    ("reporting",),
    ("config",),
    ("tools",),
    ("mini",),
)
"""Rooms from the ground up: a room imports those below it and, where it stands with others, no more than `MAY` says."""
MAY = {("training", "evaluation"), ("evaluation", "training")}
HYDRA = {"hydra", "omegaconf"}
BRITISH = re.compile(
    r"colour|centre|grey|licence|neighbour|behaviour|favour|honour|artefact|catalogue|labelled|modell|analyse|"
    r"(?:optim|normal|summar|recogn|initial|quant|serial|organ|minim|maxim|visual|general|local|standard|random|"
    r"regular|token|parametr|synchron|util|penal)is(?:e|ed|es|er|ers|ing|ation)(?![a-z])",
    re.IGNORECASE,
)
"""Spellings that PyTorch's and diffusers' names do not have; prose may keep its own."""
MODULES = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(SOURCE.rglob("*.py"))
}
TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in MODULES.items()}


def room(module: str) -> str:
    """`vmc.training.session` -> `training`; the entry points stand above all rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and any(parts[1] in rooms for rooms in RANKS) else "entry points"


def rank(module: str) -> int:
    return next((number for number, rooms in enumerate(RANKS) if room(module) in rooms), len(RANKS))


def imports(module: str, *, top: bool = False) -> set[str]:
    """The modules that one imports, inside functions too unless only those of the `top` are asked for."""
    found = set()
    for node in TREES[module].body if top else ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def crossings() -> Iterator[tuple[str, str]]:
    """Every import of another room's module: who imports, and what."""
    for module in MODULES:
        for other in imports(module):
            if other.startswith("vmc.") and module.startswith("vmc.") and room(other) != room(module):
                yield module, other


def test_imports_go_downwards_only():
    upwards = [
        f"{module} ({room(module)}) imports {other} ({room(other)})"
        for module, other in crossings()
        if rank(other) >= rank(module) and (room(module), room(other)) not in MAY
    ]
    assert not upwards


def test_no_module_imports_itself_through_others():
    below = {module: {other for other in imports(module, top=True) if other in MODULES} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle of imports: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in done:
            for other in below[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_hydra_is_known_to_the_configs_and_the_entry_points_alone():
    rooms = [module for module in MODULES if room(module) not in ("config", "entry points")]
    assert not [module for module in rooms if {name.partition(".")[0] for name in imports(module)} & HYDRA]


def test_nothing_outside_the_miniature_imports_it():
    assert not [(module, other) for module, other in crossings() if room(other) == "mini" and room(module) != "mini"]


def test_names_are_spelled_as_the_libraries_spell_theirs():
    found = set()
    for module, tree in TREES.items():
        names = set(module.split("."))
        for node in ast.walk(tree):
            names |= {
                str(getattr(node, key))
                for kind, key in ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.arg, "arg"), (ast.keyword, "arg"))
                if isinstance(node, kind)
            }
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
        found |= {f"{module}: {name}" for name in names if BRITISH.search(name)}
    assert not found
