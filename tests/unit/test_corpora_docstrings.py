"""Docstrings as documents: what is read, what is left out, how it is labelled, and that nothing is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from smc_dagster.corpora import docstrings
from smc_dagster.corpora.paragraphs import first_paragraph
from smc_dagster.errors import CorpusError
from smc_dagster.study.sources import DocstringSource

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("Return a copy\n    of this set.\n\n    It is shallow.", "Return a copy of this set."),
        ("Raise :exc:`~queue.Empty` or :class:`the error <queue.Full>`.", "Raise queue.Empty or the error."),
        ("Use ``asyncio.run`` instead.", "Use asyncio.run instead."),
        ("Do it.\nArgs:\n  path: where", "Do it."),
        ("Do it.\n:param path: where", "Do it."),
        ("Parameters\n----------\nx : int", None),
        ("Compute it.\nParameters\n----------\nx : int", "Compute it."),
        ("Compute it.\nDetails\n-------\nThey are many.", "Compute it."),
        (">>> 1 + 1\n2", None),
        (".. deprecated:: 3.1", None),
        ("=====\nQueues\n=====\n\nA thread-safe queue.", "A thread-safe queue."),
        ("Queues\n======\n", "Queues"),
        ("split(sep=None) -> list\n\nSplit at every blank.", "Split at every blank."),
        ("  \n ", None),
        ("Returns the parameters of `f(x)`, **not** a copy.", "Returns the parameters of `f(x)`, **not** a copy."),
    ],
)
def test_first_paragraph(docstring: str, text: str | None) -> None:
    assert first_paragraph(docstring) == text


def install(root: Path, name: str, files: dict[str, str]) -> None:
    """An installed distribution, as pip leaves it."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    info = root / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files) + "../bin/smcprobe.py,,\n")


BOMB = 'raise SystemExit("this module was run")\n'
FILES = {
    "smcprobe/__init__.py": '"""Tools for probing things."""\n' + BOMB,
    "smcprobe/queue/__init__.py": '"""Queues that wait for probes."""\n',
    "smcprobe/queue/fair.py": (
        'class Fair:\n    """A queue that is fair to all."""\n'
        '    if True:\n        def put(self):\n            """Put a probe at the end."""\n'
        "            def inner():\n                '''Too deep to be public at all.'''\n"
    ),
    "smcprobe/tests/case.py": '"""A test case of the probes."""\n',
    "smcprobe/test_queue.py": '"""Tests of the queue of probes."""\n',
    "smcprobe/_vendor/six.py": '"""A vendored copy of something."""\n',
    "smcprobe/wire_pb2.py": '"""Generated protocol buffer code here."""\n',
    "smcprobe/legacy/__init__.py": '"""Left out by the study."""\n',
    "smcprobe/legacy/deep.py": '"""Left out with its parent."""\n',
    "smcprobe/broken.py": '"""A file for Python 2."""\nprint "old"\n',
    "smcprobe/plain.py": "x = 1\n",
}


def read(source: DocstringSource):
    (batch,) = docstrings.read(source)
    return batch


def test_reads_a_distribution_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "smcprobe", FILES)
    monkeypatch.syspath_prepend(str(tmp_path))
    batch = read(DocstringSource(kind="docstrings", packages=["smcprobe"], exclude_modules=["smcprobe.legacy"]))
    rows = [(row["label"], row["text"], row["file"], row["line"]) for row in batch.records.to_pylist()]
    assert rows == [
        ("smcprobe", "Tools for probing things.", "smcprobe/__init__.py", 1),
        # three of four documents are in `queue`: it is the package's body, so its modules are the labels
        ("smcprobe.queue", "Queues that wait for probes.", "smcprobe/queue/__init__.py", 1),
        ("smcprobe.queue.fair", "A queue that is fair to all.", "smcprobe/queue/fair.py", 2),
        ("smcprobe.queue.fair", "Put a probe at the end.", "smcprobe/queue/fair.py", 5),
    ]
    assert set(batch.records["domain"].to_pylist()) == {"smcprobe"}
    (refused,) = batch.refused.to_pylist()
    assert (refused["file"], refused["line"]) == ("smcprobe/broken.py", 2)
    assert refused["reason"].startswith("not valid Python")
    assert batch.rows == 5
    assert "smcprobe" not in sys.modules


def test_labels_split_the_body_and_nothing_else() -> None:
    modules = [("core", "frame")] * 6 + [("core",)] + [("io", "sql")] * 3 + [("io",)] + [()]
    labels = docstrings._labels("pandas", modules)
    assert labels == ["pandas.core.frame"] * 6 + ["pandas.core"] + ["pandas.io"] * 4 + ["pandas"]


def test_the_standard_library_is_a_domain() -> None:
    left_out = sorted(sys.stdlib_module_names - {"json", "logging", "email", "http", "wsgiref", "xmlrpc", "urllib"})
    batch = read(DocstringSource(kind="docstrings", packages=["python"], exclude_modules=left_out))
    rows = {(row["file"], row["label"]) for row in batch.records.to_pylist()}
    assert ("python/json/decoder.py", "python.json") in rows
    assert ("python/logging/handlers.py", "python.logging") in rows
    assert not any(file.startswith("python/argparse") or "site-packages" in file for file, _ in rows)


def test_a_distribution_that_is_not_there() -> None:
    source = DocstringSource(kind="docstrings", packages=["no-such-distribution"])
    with pytest.raises(CorpusError, match=r"no-such-distribution.*not installed"):
        list(docstrings.read(source))
    with pytest.raises(CorpusError, match="no-such-distribution"):
        docstrings.signature(source)


def test_signature_changes_with_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "smcprobe", FILES)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = DocstringSource(kind="docstrings", packages=["smcprobe", "python"])
    before = docstrings.signature(source)
    assert docstrings.signature(source) == before
    metadata = tmp_path / "smcprobe-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    assert docstrings.signature(source) != before
