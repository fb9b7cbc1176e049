"""A scan of source text for all that could execute, or let a browser execute, what stands in a file."""

import ast
from collections.abc import Iterator

NEVER_IMPORTED = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "marshal",
    "shelve",
    "joblib",
    "yaml",
    "ruamel",
    "runpy",
    "code",
    "codeop",
    "pty",
    "numexpr",
    "jinja2",
}
IMPORTED_ONLY_IN = {
    "subprocess": ("jobs/process.py", "jobs/nursery.py", "benchmarks/"),
    "ctypes": (
        "jobs/landlock.py",
        "jobs/syscalls.py",
        "jobs/layout.py",
        "jobs/lzf.py",
        "jobs/nursery.py",
        "jobs/pieces.py",
        "ui/memory.py",
        "benchmarks/",
    ),
    "safetensors": ("models/container.py",),
}
IMPORTS_BY_NAME = ("app.py", "jobs/warm.py", "jobs/worker.py", "jobs/tasks.py", "dynamics/demo.py")
"""Files that import a module by a name; the names stand in the code, none in a file or an address."""
NEVER_CALLED = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "globals",
    "vars",
    "breakpoint",
    "input",
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "torch.hub.load",
    "torch.serialization.load",
    "numpy.load",
    "numpy.save",
    "numpy.savez",
    "numpy.lib.format.read_array",
    "pandas.read_pickle",
    "pandas.eval",
    "scipy.io.loadmat",
    "os.system",
    "os.popen",
    "os.startfile",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "streamlit.components.v1.html",
    "streamlit.components.v1.iframe",
    "streamlit.iframe",
    "html.unescape",
}
BENCHMARKS_MAY = {"numpy.load", "numpy.savez"}
"""Their own arrays, in folders that they made; without objects, as numpy reads by itself."""
NEVER_CALLED_ON_ANYTHING = {"to_pickle", "read_pickle", "load_module", "exec_module", "loadmat"}
NEVER_BEGINNING = ("os.exec", "os.spawn", "os.posix_spawn")
NEVER_GIVEN = {
    "allow_pickle": "True",
    "weights_only": "False",
    "shell": "True",
    "unsafe_allow_html": "True",
    "unsafe_allow_javascript": "True",
    "trust_remote_code": "True",
}


def found_in(source: str, path: str) -> list[str]:
    """Return what a file must not hold, each as "path:line: what"."""
    tree = ast.parse(source)
    full = _Names(tree)
    told = [*_imports(tree, path), *_calls(tree, path, full), *_dunders(tree)]
    return [f"{path}:{line}: {what}" for line, what in told]


class _Names(dict):
    """What the names of a file stand for, so that `from torch import load as l` hides nothing."""

    def __init__(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    self[one.asname or one.name.split(".")[0]] = (
                        one.name if one.asname else one.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for one in node.names:
                    self[one.asname or one.name] = f"{node.module}.{one.name}"

    def of(self, called: ast.expr) -> str:
        first, *rest = ast.unparse(called).split(".")
        return ".".join([self.get(first, first), *rest])


def _imports(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
        for name in names:
            package = name.split(".")[0]
            if package in NEVER_IMPORTED or name.startswith("streamlit.components.v1"):
                yield node.lineno, f"imports {name}"
            if package in IMPORTED_ONLY_IN and not path.startswith(IMPORTED_ONLY_IN[package]):
                yield node.lineno, f"imports {name}"


def _calls(tree: ast.AST, path: str, full: _Names) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = full.of(node.func)
        if path.startswith("benchmarks/") and name in BENCHMARKS_MAY:
            continue
        method = name.rsplit(".", 1)[-1]
        if name in NEVER_CALLED or name.startswith(NEVER_BEGINNING) or method in NEVER_CALLED_ON_ANYTHING:
            yield node.lineno, f"calls {name}"
        if name == "importlib.import_module" and path not in IMPORTS_BY_NAME:
            yield node.lineno, "imports a module by its name"
        for what in _given(node, name):
            yield node.lineno, what


def _given(node: ast.Call, name: str) -> Iterator[str]:
    """Arguments that make a call dangerous."""
    if name.endswith((".eval", ".query")) and node.args and _is_text(node.args[0]):
        yield f"evaluates text by {name}"
    for given in node.keywords:
        if given.arg in NEVER_GIVEN and ast.unparse(given.value) != _harmless(given.arg):
            yield f"gives {given.arg}"


def _harmless(argument: str) -> str:
    return "True" if NEVER_GIVEN[argument] == "False" else "False"


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str)
    )


def _dunders(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Ways round the names: `__builtins__`, `__subclasses__`, `__reduce__` and the like."""
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name in {"__builtins__", "__subclasses__", "__globals__", "__code__", "__loader__"}:
            yield node.lineno, f"uses {name}"
        if isinstance(node, ast.FunctionDef) and node.name in {"__reduce__", "__reduce_ex__", "__setstate__"}:
            yield node.lineno, f"defines {node.name}"
