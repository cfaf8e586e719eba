"""The house: which room may import which. The order is that of CONTRIBUTING.md, from the ground up."""

import ast
from pathlib import Path

import pytest

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
MODULES = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(SOURCE.rglob("*.py"))
}


def room(module: str) -> str:
    """`vmc.training.session` -> `training`; the entry points stand above all rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and any(parts[1] in rank for rank in RANKS) else "entry points"


def imports(module: str, *, top: bool = False) -> set[str]:
    """The modules that one imports, inside functions too unless only those of the `top` are asked for."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def rank(module: str) -> int:
    return next((number for number, rooms in enumerate(RANKS) if room(module) in rooms), len(RANKS))


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("vmc.")])
def test_imports_go_downwards_only(module):
    own = room(module)
    for other in imports(module):
        if not other.startswith("vmc.") or room(other) == own:
            continue
        allowed = rank(other) < rank(module) or (own, room(other)) in MAY
        assert allowed, f"{module} imports {other}: {own} stands below or beside {room(other)}"


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


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("vmc.")])
def test_hydra_is_known_to_the_configs_and_the_entry_points_alone(module):
    if room(module) not in ("config", "entry points"):
        assert not {name.partition(".")[0] for name in imports(module)} & HYDRA


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("vmc.")])
def test_nothing_outside_the_miniature_imports_it(module):
    if room(module) != "mini":
        assert not {name for name in imports(module) if name == "vmc.mini" or name.startswith("vmc.mini.")}
