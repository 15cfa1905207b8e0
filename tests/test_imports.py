"""Which module may import which: no circles, nothing of the core imports an extra, no step imports a later one.

Counted are the imports of a module, inside its functions too, and the `__init__`s that they run; not those for type
checkers. An import inside a function is for start-up alone: what it loads is heavy, and not always needed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
EXTRAS = ("extras",)
"""What works on a finished chain."""
FOUNDATION = (
    *("errors", "quiet", "progress", "disk", "cache", "compute", "config", "models", "steps", "reporting", "workspace"),
    *("distributed", "training", "tables", "packages"),
)
LIBRARIES = (
    *("data", "retrieval", "teacher", "losses", "ranker", "labels", "engine", "retriever", "multi_vector"),
    "retrieval.hybrid",
    *("evaluation", "report", "judge", "teacher.check"),
)
"""What steps are made from; each imports those before it alone.

Two parts stand apart from their packages, for they come later: the hybrid's weights are fitted as the ranker's prior
is, and a teacher is checked by the measures of `evaluation`.
"""
STEPS = ("retrieval", "teacher", "multi_vector", "ranker", "labels", "retriever")
"""Packages whose `making.py` is a step, in the order of the steps. It may import every library."""
TOP = (
    *("lists", "components", "outcome", "forecast", "pipeline", "checks", "commands"),
    *("demo", "cli", "__main__"),
)
"""`commands`: a package's module of this name, what the command line asks of it on a whole chain."""

Graph = Mapping[str, set[str]]


def modules(source: Path = SOURCE) -> dict[str, str]:
    """Module -> its source."""
    found = {}
    for path in sorted((source / "rankstill").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """The modules that a module imports, each with the name that is taken from it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not followed here"
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        else:
            yield from imports(node)


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Module -> the modules of this package that it imports."""
    arrows: dict[str, set[str]] = {}
    for module, source in sources.items():
        arrows[module] = set()
        for name, taken in imports(ast.parse(source)):
            target = f"{name}.{taken}" if f"{name}.{taken}" in sources else name
            if target not in sources:
                continue
            packages = {target[:end] for end, letter in enumerate(target) if letter == "."} - {"rankstill"}
            arrows[module] |= {target, *(each for each in packages if not f"{module}.".startswith(f"{each}."))}
        arrows[module].discard(module)
    return arrows


def circle(arrows: Graph) -> list[str]:
    """Modules of which each imports the next, the last the first; empty if there are none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def place(module: str) -> str:
    """Under which name the order above knows a module: `commands`, its package, or a part that stands apart."""
    inside = module.removeprefix("rankstill").removeprefix(".")
    if module.endswith(".commands") and not inside.startswith("extras."):
        return "commands"
    return next((each for each in LIBRARIES if "." in each and inside.startswith(each)), inside.split(".")[0])


def arrows_back(arrows: Graph) -> list[str]:
    """Imports of something that comes later."""
    order = {name: number for number, name in enumerate((*FOUNDATION, *LIBRARIES, *TOP))}
    made = {f"rankstill.{name}.making": number for number, name in enumerate(STEPS)}
    back = []
    for module, targets in arrows.items():
        if place(module) in EXTRAS or module == "rankstill":
            continue
        for target in targets - {"rankstill"}:
            assert {place(module), place(target)} <= {*order, *EXTRAS}, f"give {module} and {target} their places"
            if place(target) in EXTRAS:
                back.append(f"{module} -> {target}, an extra")
            elif target in made:
                allowed = made[target] < made[module] if module in made else place(module) in TOP
                if not allowed:
                    back.append(f"{module} -> {target}, a later step")
            elif module in made:
                if place(target) in TOP:
                    back.append(f"{module} -> {target}, which runs the steps")
            elif place(module) in FOUNDATION and place(target) in FOUNDATION:
                continue
            elif order[place(module)] < order[place(target)]:
                back.append(f"{module} -> {target}, which comes later")
    return back


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return modules()


def test_no_module_imports_itself_by_way_of_others(sources: dict[str, str]) -> None:
    assert circle(graph(sources)) == []


def test_the_core_imports_no_extra_and_no_step_a_later_one(sources: dict[str, str]) -> None:
    assert arrows_back(graph(sources)) == []


def test_every_package_has_its_place(sources: dict[str, str]) -> None:
    named = [*FOUNDATION, *LIBRARIES, *TOP, *EXTRAS]
    assert len(named) == len(set(named))
    assert {place(module) for module in sources} - {""} == set(named)
    assert {place(module) for module in sources if module.endswith(".making")} == set(STEPS)


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("rankstill.errors", "from rankstill.workspace import Workspace", "circle"),
        ("rankstill.errors", "from rankstill import disk", "circle"),
        ("rankstill.retrieval.bm25", "from rankstill.retrieval.first_stage import FirstStage", "circle"),
        ("rankstill.retrieval.first_stage", "from rankstill.ranker.prior import Prior", "circle"),
        ("rankstill.ranker.prior", "if True:\n    import rankstill.evaluation.runs", "comes later"),
        ("rankstill.retriever.making", "from rankstill.evaluation.runs import Run", ""),
        ("rankstill.labels.making", "from rankstill.retriever.making import make_retriever", "a later step"),
        ("rankstill.labels.making", "from rankstill.pipeline import Chain", "which runs the steps"),
        ("rankstill.evaluation.runs", "from rankstill.extras.serve.app import create_app", "an extra"),
        ("rankstill.pipeline", "from rankstill.extras.studies import STUDIES", "an extra"),
        ("rankstill.judge.pool", "from rankstill.judge.commands import judge", "comes later"),
        ("rankstill.models", "from rankstill.data.corpus import Corpus", "comes later"),
        ("rankstill.pipeline", "def later():\n    from rankstill.extras.serve.app import create_app", "an extra"),
        ("rankstill.teacher.live", "def later():\n    from rankstill.teacher.teach import Teacher", "circle"),
        ("rankstill.teacher.black_box", "def later():\n    from rankstill.engine.asking import ask", "comes later"),
        ("rankstill.cli.result", "def later():\n    from rankstill.extras.serve.app import create_app", "an extra"),
        ("rankstill.pipeline", "if TYPE_CHECKING:\n    from rankstill.extras.serve.app import create_app", ""),
    ],
)
def test_a_planted_import_is_found(sources: dict[str, str], module: str, line: str, found: str) -> None:
    arrows = graph({**sources, module: f"{sources[module]}\n{line}\n"})
    if found == "circle":
        assert module in circle(arrows)
    elif found:
        assert any(module in each and found in each for each in arrows_back(arrows))
    else:
        assert circle(arrows) == arrows_back(arrows) == []
