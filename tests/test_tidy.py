"""The rules of the project for its own sources."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import pollers
import socket2

from .interop.peers import LIMIT_S, ROOT
from .rooms import tree_of

LINES_MAX = 400
DOCSTRING_LINES_MAX = 10

NOT_A_NAME = {"base", "bases", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

# The tests that may block their OS thread, and why.
MAY_SLEEP: dict[str, str] = {
    "tests/contract/test_sharing.py": "for 0 s, where there is no sched_yield",
    "tests/stress/servers.py": "to block its OS thread is what it is about",
    "tests/stress/together.py": "to block its OS thread is what it is about",
    "tests/stress/worker.py": "to block its OS thread is what it is about",
}


def sources(*directories: str) -> list[Path]:
    return sorted(path for directory in directories for path in (ROOT / directory).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes below, except those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from executed(child)


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a module of the repository imports when it runs."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in executed(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | ({module} if node.module else set())
    return found


def imports_package(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imports(path))


def fresh(program: str) -> str:
    """Run a program in a new interpreter. Return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PRODUCT = sources("pollers", "pytest_socket2", "socket2", "bench")
EVERYTHING = sources("pollers", "pytest_socket2", "socket2", "bench", "examples", "tests")


def offenders(paths: list[Path], offends: Callable[[Path], object]) -> list[str]:
    assert paths
    return [relative(path) for path in paths if offends(path)]


def test_no_module_is_too_long() -> None:
    assert not offenders(EVERYTHING, lambda path: len(path.read_text().splitlines()) > LINES_MAX)


def test_every_module_says_what_it_is() -> None:
    def is_silent(path: Path) -> bool:
        tree = tree_of(path)
        return not ast.get_docstring(tree) and (path.name != "__init__.py" or bool(tree.body))

    assert not offenders(EVERYTHING, is_silent)


def test_every_module_says_it_in_a_few_lines() -> None:
    """Examples may have more lines, to show how they are called."""

    def is_wordy(path: Path) -> bool:
        return len((ast.get_docstring(tree_of(path)) or "").splitlines()) > DOCSTRING_LINES_MAX

    assert not offenders([path for path in EVERYTHING if path.parent.name != "examples"], is_wordy)


def test_every_module_is_named_after_what_is_in_it() -> None:
    assert not offenders(EVERYTHING, lambda path: NOT_A_NAME & {path.stem, *path.relative_to(ROOT).parts[:-1]})


# Which part may import which.


def test_pollers_do_not_know_socket2() -> None:
    assert not offenders(sources("pollers"), lambda path: imports_package(path, "socket2"))


def test_pollers_can_be_imported_without_socket2() -> None:
    loaded = fresh("import pollers, sys; print(*sorted(sys.modules))").split()
    assert "pollers" in loaded
    assert not [name for name in loaded if name.split(".")[0] == "socket2"]


def test_socket2_knows_the_interface_of_the_pollers_and_not_how_they_are_made() -> None:
    """Other pollers may be registered, and one may be written in C."""
    public = {"pollers", *(f"pollers.{name}" for name in pollers.__all__)}

    def knows_more(path: Path) -> set[str]:
        return {name for name in imports(path) if name.split(".")[0] == "pollers"} - public

    assert not offenders(sources("socket2"), knows_more)


def test_pollers_alone_know_the_operating_system() -> None:
    def knows_it(path: Path) -> bool:
        named = {ast.unparse(node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
        return not {"sys.platform", "os.name"}.isdisjoint(named | imports(path))

    assert not offenders(sources("socket2", "bench"), knows_it)


def test_one_module_alone_imports_cffi() -> None:
    others = [path for path in PRODUCT if relative(path) != "pollers/windows/winsock.py"]
    assert not offenders(others, lambda path: imports_package(path, "cffi"))


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows the poller is made with cffi")
def test_cffi_is_not_even_looked_for() -> None:
    program = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cffi", "_cffi_backend"):
            print("looked for", name)

sys.meta_path.insert(0, Finder())
import socket2
socket2.run(lambda: None)
"""
    assert fresh(program) == ""


# What people see.


def test_all_is_what_the_package_exports() -> None:
    public = {
        name
        for name, value in vars(socket2).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", None) != "__future__"
    }
    assert set(socket2.__all__) == public | {"__version__"}
    assert len(socket2.__all__) == len(set(socket2.__all__))


def test_every_public_class_and_function_has_a_docstring() -> None:
    values = {name: getattr(socket2, name) for name in socket2.__all__ if name not in ("SocketAddress", "__version__")}
    assert not [name for name, value in values.items() if not (inspect.isclass(value) or inspect.isfunction(value))]
    assert not [name for name, value in values.items() if not value.__doc__]


def test_every_public_method_has_a_docstring() -> None:
    """Methods with obvious names, and the methods of a timeout block that `with` calls, need none."""
    evident = {"closed", "done", "expired", "family", "getsockname", "host", "name", "port", "protocol", "type"}
    evident |= {"enter", "in_use", "leave"}
    bare = {
        f"{name}.{method}"
        for name in socket2.__all__
        if inspect.isclass(cls := getattr(socket2, name))
        for method, value in vars(cls).items()
        if not method.startswith("_") and method not in evident
        if (inspect.isfunction(value) or isinstance(value, property)) and not inspect.getdoc(value)
    }
    assert not bare


def test_nothing_public_is_an_async_def() -> None:
    """A plain generator cannot `yield from` a coroutine. A guest's library takes nothing else from the guest's room."""

    def has_one(path: Path) -> bool:
        return any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree_of(path)))

    def has_a_public_one(path: Path) -> bool:
        return any(isinstance(node, ast.AsyncFunctionDef) for node in public_in(tree_of(path)))

    guests = sources("socket2/guests")
    assert not offenders([path for path in sources("pollers", "socket2") if path not in guests], has_one)
    # The methods of an event loop of asyncio are coroutines.
    assert offenders(guests, has_a_public_one) == ["socket2/guests/asyncio/loop.py"]


def public_in(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the public functions and classes of a module, and the public methods of these classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_in(node)


@pytest.mark.parametrize("package", ["pollers", "pytest_socket2", "socket2"])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()


# The tests themselves.


def test_a_test_waits_for_something_and_not_for_time_to_pass() -> None:
    def sleeps(path: Path) -> bool:
        calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
        return "time.sleep" in imports(path) or any(ast.unparse(call.func) == "time.sleep" for call in calls)

    assert set(offenders(sources("tests"), sleeps)) == MAY_SLEEP.keys()


def spelled_out(name: str) -> Iterator[str]:
    """Expand braces in a name as a shell does."""
    before, brace, rest = name.partition("{")
    if not brace:
        yield name
        return
    inside, _, after = rest.partition("}")
    for one in inside.split(","):
        yield from spelled_out(before + one + after)


@pytest.mark.parametrize("path", ["Makefile", "CONTRIBUTING.md", "tools", "docs", "tests/windows.py"])
def test_tests_that_are_named_somewhere_are_there(path: str) -> None:
    place = ROOT / path
    texts = (
        [found.read_text() for found in place.rglob("*.*") if found.is_file()]
        if place.is_dir()
        else [place.read_text()]
    )
    named = {name for text in texts for name in re.findall(r"tests/[\w/]+(?:\{[\w,]+\})?[\w.]*", text)}
    assert named
    assert not [one for name in named for one in spelled_out(name.rstrip(".")) if not (ROOT / one).exists()]
