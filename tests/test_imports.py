"""Who may import whom, and what loads without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = {"app", "cli", "commands", "pages", "ui", "jobs", "models", "dynamics"}
MAY_IMPORT = {
    "app": {"ui", "jobs"},
    "cli": {"commands", "dynamics"},
    "commands": {"commands", "jobs", "models", "dynamics"},
    "pages": {"ui", "models", "dynamics"},
    "ui": {"ui", "jobs", "models", "dynamics"},
    "jobs": {"jobs", "models", "dynamics"},
    "models": {"models", "dynamics"},
    "dynamics": {"dynamics"},
}
ONLY_IN = {
    "streamlit": ("app.py", "pages/", "ui/"),
    "plotly": ("dynamics/figures/", "ui/cellmap/"),
    "torchdiffeq": ("dynamics/integrate.py", "dynamics/roll_out.py"),
    "ot": ("dynamics/coupling.py", "dynamics/metrics.py"),
    "dask": ("jobs/",),
    "distributed": ("jobs/",),
    "safetensors": ("models/container.py",),
    "pickle": (),
    "joblib": (),
    "yaml": (),
}
INSIDE_FUNCTIONS = {"scanpy", "umap", "pynndescent"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}

FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0].removesuffix(".py") in OWN and "__pycache__" not in path.parts
)


def imported(tree: ast.AST) -> list[tuple[str, ast.AST]]:
    """Return the top-level packages that a syntax tree imports, with the node."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(((node.module or "").split(".")[0], node))
    return found


def function_bodies(tree: ast.AST) -> set[ast.AST]:
    """Return every node that stands inside a function."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {inner for function in functions for inner in ast.walk(function)}


def type_checking_bodies(tree: ast.AST) -> set[ast.AST]:
    """Return every node under `if TYPE_CHECKING:`."""
    guards = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    )
    return {inner for guard in guards for inner in ast.walk(guard)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path):
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text())
    layer = name.split("/")[0].removesuffix(".py")
    inside, for_types = function_bodies(tree), type_checking_bodies(tree)
    for package, node in imported(tree):
        where = f"{name}:{node.lineno} imports {package}"
        if package in OWN:
            assert package in MAY_IMPORT[layer], where
        if package in ONLY_IN:
            assert name.startswith(ONLY_IN[package]), where
        if node in for_types:
            continue
        if layer == "ui" and package in OWN:
            continue  # a page loads torch or anndata only when it needs them
        assert (node in inside) == (package in INSIDE_FUNCTIONS), f"{where} at the wrong place in the file"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_from_a_file_is_executed(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {called}"
            assert called not in {"torch.load", "torch.save", "np.load"}, (
                f"{path.name}:{node.lineno} calls {called}"
            )


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("dynamics", {"numpy", "torch", "scanpy", "umap"}),
        ("dynamics.read", {"torch", "scanpy", "umap", "ot"}),
        ("dynamics.inspect", {"torch", "scanpy", "umap", "ot"}),
        ("dynamics.figures.embedding", {"torch", "scanpy", "umap", "ot"}),
        ("jobs.client", {"numpy", "torch", "scanpy", "dask", "distributed"}),
    ],
)
def test_light_modules_load_without_heavy_ones(module, heavy):
    code = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_pages_are_short_and_plain():
    for path in (ROOT / "pages").glob("[a-z]*.py"):
        source = path.read_text()
        assert source.count("\n") <= 120, f"{path.name} has more than 120 lines"
        kinds = (ast.FunctionDef, ast.ClassDef, ast.Try)
        odd = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
        assert not odd, f"{path.name} holds a function, a class or a try: move it to ui/"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path):
    assert path.read_text().count("\n") <= 400
