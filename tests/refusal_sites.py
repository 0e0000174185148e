"""Where captures, formats and imports refuse something: every raise of a refusal in the source, and which of them a case hits."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeprune.errors import EdgepruneError

PACKAGE = Path(__file__).parents[1] / "edgeprune"
FOLDERS = ("capturing", "laying", "importing", "formats")
REFUSALS = {"unsupported", "Unsupported", "refusal", "NotExportable"}


def sites() -> dict[tuple[str, int], str]:
    """(file, line) of every line of a raised refusal: the site's name, by file and the first words of what it says."""
    found: dict[tuple[str, int], str] = {}
    for folder in FOLDERS:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            for raised in _raised(ast.parse(path.read_text())):
                words = " ".join(_words(raised))[:60].strip() or "said elsewhere"
                for line in range(raised.lineno, (raised.end_lineno or raised.lineno) + 1):
                    found[name, line] = f"{name}: {words}"
    return found


def _raised(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        # A refusal is raised where it is made, or made by a function of its own that says nothing else.
        call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
        if isinstance(call, ast.Call):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in REFUSALS and (isinstance(node, ast.Raise) or called == "refusal"):
                yield call


def _words(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def refused(attempt: Callable[[], object]) -> tuple[EdgepruneError, set[tuple[str, int]]] | None:
    """The refusal that an attempt ends in, and the lines of the package that it went through; None where nothing is refused."""
    try:
        attempt()
    except EdgepruneError as error:
        lines: set[tuple[str, int]] = set()
        cause: BaseException | None = error
        while cause is not None:
            trace = cause.__traceback__
            while trace is not None:
                path = Path(trace.tb_frame.f_code.co_filename)
                if path.is_relative_to(PACKAGE):
                    lines.add((path.relative_to(PACKAGE).as_posix(), trace.tb_lineno))
                trace = trace.tb_next
            cause = cause.__context__
        return error, lines
    return None
