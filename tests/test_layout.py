"""The plan of the house, checked on the source: floors, rooms, sizes, and imports that are light."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerasnets"
FILES = sorted(PACKAGE.rglob("*.py"))

# Bottom to top; a room imports only lower floors or itself.
FLOORS = (
    {"registry"},
    {"recipe"},
    {"layers"},
    {"blocks"},
    {"architectures"},
    {"graph"},
    {"weights"},
    {"build"},
    {"model_index"},
    {"data"},
    {"distribution"},
    {"runs"},
    {"evaluation"},
    {"training"},
    {"exporters"},
    {"report"},
    {"cli"},
    {"__init__", "__main__"},
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
# `data` may know the registry's plain numbers and the layer that turns them into operations, and nothing of models.
UNKNOWN_TO_DATA = {"blocks", "architectures", "graph", "weights", "build", "model_index"}
HEAVY = {
    "matplotlib", "tensorflow_datasets", "keras_cv", "torch", "sklearn", "ai_edge_litert", "PIL", "huggingface_hub",
}  # fmt: skip
LONG_FAMILIES = ("inception", "nasnet", "efficientnet")
NOT_FAMILIES = {"__init__", "catalogue", "variant"}
COMMON_EIGHT = {
    "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name",
}  # fmt: skip
REGISTRY_STATE = ("registry", "_REGISTRY")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name_of(path))


def imports_of(tree: ast.AST):
    """Yields (line, module, names, level) of every import statement below `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, (), 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "", tuple(alias.name for alias in node.names), node.level


def functions_of(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def complain(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_room_has_a_floor():
    complain([f"{name_of(path)}: give it a floor" for path in FILES if room_of(path) not in FLOOR])


def test_imports_point_down():
    wrong = []
    for path in FILES:
        room = room_of(path)
        for line, module, _, _ in imports_of(tree_of(path)):
            parts = module.split(".")
            if parts[0] == "kerasnets" and len(parts) > 1 and parts[1] != room and FLOOR[parts[1]] >= FLOOR[room]:
                wrong.append(f"{name_of(path)}:{line}: {room} may not import {module}, it stands no lower")
    complain(wrong)


def test_nobody_imports_the_front_door_or_relatively():
    wrong = []
    for path in FILES:
        for line, module, names, level in imports_of(tree_of(path)):
            if module == "kerasnets" or level:
                wrong.append(f"{name_of(path)}:{line}: import from the file that defines {names or 'the name'}")
    complain(wrong)


def test_families_never_import_each_other():
    wrong = []
    for path in sorted((PACKAGE / "architectures").glob("*.py")):
        if path.stem in NOT_FAMILIES:
            continue
        for line, module, names, _ in imports_of(tree_of(path)):
            inside = module.startswith("kerasnets.architectures")
            if inside and module != "kerasnets.architectures.variant":
                wrong.append(f"{name_of(path)}:{line}: what two families share moves down to blocks ({module} {names})")
    complain(wrong)


def test_data_and_networks_do_not_know_each_other():
    wrong = []
    for path in FILES:
        if room_of(path) == "data":
            for line, module, _, _ in imports_of(tree_of(path)):
                parts = module.split(".")
                if parts[0] == "kerasnets" and len(parts) > 1 and parts[1] in UNKNOWN_TO_DATA:
                    wrong.append(f"{name_of(path)}:{line}: data knows nothing of models ({module})")
        if room_of(path) in {"layers", "blocks", "architectures"}:
            for line, module, _, _ in imports_of(tree_of(path)):
                if module.startswith("kerasnets.data"):
                    wrong.append(f"{name_of(path)}:{line}: networks know nothing of data ({module})")
    complain(wrong)


def test_heavy_imports_stand_inside_functions():
    wrong = []
    for path in FILES:
        tree = tree_of(path)
        inside = {id(node) for function in functions_of(tree) for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
                for line, module, _, _ in imports_of(node):
                    if module.split(".")[0] in HEAVY:
                        wrong.append(f"{name_of(path)}:{line}: import {module} inside the function that uses it")
    complain(wrong)


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return called in {"dict", "list", "set", "defaultdict", "Counter", "OrderedDict", "deque", "count"}
    return isinstance(value, ast.ListComp | ast.DictComp | ast.SetComp) or (
        isinstance(value, ast.List | ast.Dict | ast.Set) and not ast.unparse(value).strip("[]{}")
    )


def test_no_module_keeps_state():
    """A table written out in full is a constant; an empty container, a computed one or a `global` is state."""
    wrong = []
    for path in FILES:
        tree = tree_of(path)
        for node in tree.body:
            registry = room_of(path) == REGISTRY_STATE[0] and REGISTRY_STATE[1] in ast.unparse(node)
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value) and not registry:
                wrong.append(f"{name_of(path)}:{node.lineno}: module-level state: {ast.unparse(node)[:60]}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Global):
                wrong.append(f"{name_of(path)}:{node.lineno}: global {', '.join(node.names)}")
            cached = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            if any(re.search(r"\b(lru_cache|functools\.cache|cache)\b", ast.unparse(d)) for d in cached):
                wrong.append(f"{name_of(path)}:{node.lineno}: a cache is state: {node.name}")
    complain(wrong)


def test_nothing_is_written_to_another_modules_dictionary():
    """Only the registry changes its dictionary: nobody reaches for the private name."""
    room, name = REGISTRY_STATE
    complain([name_of(path) for path in FILES if room_of(path) != room and name in path.read_text(encoding="utf-8")])


def most_lines(path: Path) -> int:
    if path.parent == PACKAGE / "architectures" and path.stem not in NOT_FAMILIES:
        return 300 if path.stem.startswith(LONG_FAMILIES) else 200
    return 300


def test_files_are_small():
    wrong = []
    for path in [*FILES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > most_lines(path):
            wrong.append(f"{name_of(path)}: {lines} lines, {most_lines(path)} allowed")
    complain(wrong)


def code_lines(function: ast.FunctionDef, source: list[str]) -> int:
    """Lines of the body that are neither docstring nor blank nor comment."""
    body = function.body
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        body = body[1:]
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_functions_are_small():
    wrong = []
    for path in FILES:
        source = path.read_text(encoding="utf-8").splitlines()
        for function in functions_of(tree_of(path)):
            size = code_lines(function, source)
            if size > 40:
                wrong.append(f"{name_of(path)}:{function.lineno}: {function.name} has {size} code lines, 40 allowed")
            arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
            own = [a for a in arguments if a not in COMMON_EIGHT | {"self", "cls"}]
            decorated = any("command" in ast.unparse(d) for d in function.decorator_list)
            if len(own) > 7 and not decorated:
                wrong.append(
                    f"{name_of(path)}:{function.lineno}: {function.name} takes {len(own)} arguments, 7 allowed"
                )
    complain(wrong)


TEXTS = [
    path
    for pattern in (
        "kerasnets/**/*.py",
        "tests/**/*.py",
        "benchmarks/**/*.py",
        "docs/**/*.md",
        "recipes/*",
        "*.md",
        "Makefile",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
]


def test_no_paths_of_one_machine():
    pattern = re.compile(r"(?<![\w.])/(home|root|Users|work|mnt|opt|scratch)/\w")
    wrong = []
    for path in TEXTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line) and path != Path(__file__):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    complain(wrong)


RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses(path):
    from kerasnets.recipe.read import load_recipe

    load_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_opens_with_paper_command_cost_and_result(path):
    header = " ".join(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")).lower()
    assert re.search(r"\b(19|20)\d\d\b", header), f"{path.name}: its header should say the paper and its year"
    for word in ("command", "cost", "result"):
        assert word in header, f"{path.name}: its header should say {word}"
