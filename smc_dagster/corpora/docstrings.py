"""Documents from the docstrings of installed distributions and of the Python standard library.

What belongs here: which files count, finding their docstrings with `ast` (nothing is imported or run), and the labels.
What does not: cleaning a docstring (paragraphs.py), judging a document (contract.py).

Domain = the distribution as the study names it; `python` is the standard library. Label = `domain.module`, the module
one level below the package, e.g. `scipy.stats`. Where one such module holds more than BODY_SHARE of its domain's
documents, it is the package's body rather than a topic (`pandas.core`, `networkx.algorithms`), and the modules one
level below it are labels instead (`pandas.core.frame`). Nothing else is split or merged, so that label sizes keep the
long tail that the packages have.

Left out everywhere: tests, vendored copies and generated protocol buffers, by the names of files and folders. What is
generated in one package only is for the study's `exclude_modules`.
"""

from __future__ import annotations

import ast
import platform
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path, PurePosixPath

from smc_dagster.corpora.batches import Batch, Refusal, records, refusals
from smc_dagster.corpora.paragraphs import first_paragraph
from smc_dagster.errors import CorpusError
from smc_dagster.study import digest_of
from smc_dagster.study.sources import DocstringSource

STANDARD_LIBRARY = "python"
BODY_SHARE = 1 / 3

_LEFT_OUT = re.compile(
    r"(?:^|.*/)(?:tests?|idle_test|testing/_internal|_?vendor(?:ed)?|_?externals?|_?third_party"
    r"|site-packages|dist-packages|__phello__|__pycache__|\.\.)/.*"
    r"|(?:^|.*/)(?:test_[^/]*|[^/]*_test|conftest|[^/]*_pb2(?:_grpc)?|_sysconfigdata[^/]*)\.py"
)
_SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# statements at module or class level that can hold definitions
_BRANCHES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.Try, ast.With)


def signature(source: DocstringSource) -> str:
    """What the source holds: hash of the version of every distribution named.

    Raises:
        CorpusError: a distribution is not installed.
    """
    return digest_of({package: _version(package) for package in source.packages})


def read(source: DocstringSource) -> Iterator[Batch]:
    """One batch a distribution, in the order named; rows by file name, then line.

    `file` is the path below the distribution's root, with `python/` in front for the standard library. A file that is
    no valid Python is one refused row.

    Raises:
        CorpusError: a distribution is not installed, or does not say which files it holds.
    """
    for package in source.packages:
        yield _read_package(package, source.exclude_modules)


def _version(package: str) -> str:
    if package == STANDARD_LIBRARY:
        return platform.python_version()
    return _distribution(package).version


def _distribution(package: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError) as error:
        raise CorpusError(
            f"corpus.source.packages: distribution `{package}` is not installed",
            "install it, or take it out of the study file",
        ) from error


def _files(package: str) -> tuple[Path, list[str]]:
    """Root folder, and the Python files below it as sorted POSIX paths."""
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
        return root, sorted(
            one.relative_to(root).as_posix()
            for top in root.iterdir()
            if top.name not in {"site-packages", "dist-packages"}
            for one in ([top] if top.suffix == ".py" else top.rglob("*.py"))
        )
    distribution = _distribution(package)
    if distribution.files is None:
        raise CorpusError(
            f"corpus.source.packages: distribution `{package}` has no list of its files", "install it again with pip"
        )
    root = Path(str(distribution.locate_file("")))
    return root, sorted(one.as_posix() for one in distribution.files if one.suffix == ".py")


def _read_package(package: str, exclude: list[str]) -> Batch:
    root, files = _files(package)
    found: list[tuple[str, int, str]] = []
    modules: list[tuple[str, ...]] = []
    refused: list[Refusal] = []
    prefix = f"{STANDARD_LIBRARY}/" if package == STANDARD_LIBRARY else ""
    for file in files:
        module = _module(file)
        if _LEFT_OUT.fullmatch(file) or _is_excluded(".".join(module), exclude):
            continue
        try:
            paragraphs = _paragraphs((root / file).read_bytes())
        except FileNotFoundError:
            continue
        except (SyntaxError, ValueError, RecursionError) as error:
            reason = f"not valid Python: {error.msg if isinstance(error, SyntaxError) else type(error).__name__}"
            refused.append(Refusal(prefix + file, getattr(error, "lineno", None), "text", reason, ""))
            continue
        found.extend((prefix + file, line, text) for line, text in paragraphs)
        # below the package: the standard library has no package of its own on top
        modules.extend([module if package == STANDARD_LIBRARY else module[1:]] * len(paragraphs))
    labels = _labels(package, modules)
    fields = {"domain": package, "label": labels, "text": [text for _, _, text in found]}
    table = records([file for file, _, _ in found], [line for _, line, _ in found], fields)
    return Batch(table, refusals(refused), len(found) + len(refused))


def _module(file: str) -> tuple[str, ...]:
    parts = PurePosixPath(file).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _is_excluded(module: str, exclude: list[str]) -> bool:
    return any(fnmatchcase(module, glob) or fnmatchcase(module, f"{glob}.*") for glob in exclude)


def _labels(domain: str, modules: list[tuple[str, ...]]) -> list[str]:
    sizes = Counter(module[0] for module in modules if module)
    # at most two modules can hold more than a third each
    bodies = {name for name, size in sizes.items() if size > BODY_SHARE * len(modules)}
    return [".".join((domain, *module[: 2 if module and module[0] in bodies else 1])) for module in modules]


def _paragraphs(content: bytes) -> list[tuple[int, str]]:
    """Line and first paragraph of every docstring at module and class level."""
    if b'"""' not in content and b"'''" not in content:
        return []  # one-line strings as docstrings are too rare to be worth parsing every file for
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack: list[ast.AST] = [ast.parse(content)]
    paragraphs = []
    while stack:
        node = stack.pop()
        body = getattr(node, "body", [])
        if isinstance(node, _SCOPES) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                text = first_paragraph(value.value)
                if text is not None:
                    paragraphs.append((value.lineno, text))
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            stack.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, _BRANCHES))
    return sorted(paragraphs)
