"""Files as documents: every format, and what becomes of rows and files that are broken."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from docstring_text import docstrings

from smc_dagster.corpora import blocks, files, pieces
from smc_dagster.corpora.batches import Batch
from smc_dagster.errors import CorpusError
from smc_dagster.study.sources import Columns, FilesSource

pytestmark = pytest.mark.unit

ROWS = [dict(zip(("domain", "label", "text"), row, strict=True)) for row in docstrings()[:7]]


def source(path: Path, **columns: str) -> FilesSource:
    return FilesSource(kind="files", path=str(path), columns=Columns(**columns))


def read(path: Path, **columns: str) -> list[Batch]:
    return list(files.read(source(path, **columns)))


def kept(batches: list[Batch]) -> list[dict]:
    return [row for batch in batches for row in batch.records.to_pylist()]


def refused(batches: list[Batch]) -> list[dict]:
    return [row for batch in batches for row in batch.refused.to_pylist()]


def packed(content: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(content)
    return bytes(pa.Codec("zstd").compress(content, asbytes=True)) if name.endswith(".zst") else content


def write(path: Path, rows: list[dict] = ROWS) -> Path:
    kind = path.name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[1]
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue()
    elif kind == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        quoted = [['"' + str(row[name]).replace('"', '""') + '"' for name in rows[0]] for row in rows]
        content = "".join(
            ("," if kind == "csv" else "\t").join(line) + "\n" for line in [list(rows[0]), *quoted]
        ).encode()
    path.write_bytes(packed(content, path.name))
    return path


@pytest.mark.parametrize(
    "name", [f"a.{kind}{packing}" for kind in ("jsonl", "csv", "tsv", "parquet") for packing in ("", ".gz", ".zst")]
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BATCH_ROWS", 3)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 400)
    batches = read(write(tmp_path / name))
    first = 1 if "parquet" in name or "jsonl" in name else 2
    absent = {"id": None, "provenance": None, "parent_doc_id": None, "source_split": None}
    assert kept(batches) == [row | absent | {"file": name, "line": first + at} for at, row in enumerate(ROWS)]
    assert not refused(batches)
    assert len([one for one in batches if one.rows]) >= 3
    assert sum(one.rows for one in batches) == len(ROWS)
    assert sum(one.files for one in batches) == 1


def test_columns_are_mapped_and_may_serve_twice(tmp_path: Path) -> None:
    rows = [{"intent": row["label"], "utterance": row["text"], "noise": "x"} for row in ROWS]
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        batches = read(write(tmp_path / name, rows), domain="intent", label="intent", text="utterance")
        assert [(row["domain"], row["label"], row["text"]) for row in kept(batches)] == [
            (row["label"], row["label"], row["text"]) for row in ROWS
        ]


def test_broken_jsonl_rows_keep_their_line_and_content(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    lines = [
        b"\xef\xbb\xbf" + good.encode(),
        b"",
        b'{"domain": "json", "label": ',
        b'["json", "json.decoder", "text"]',
        b'{"domain": "json", "label": 3, "text": "Decode it all."}',
        b'{"domain": "json", "label": "a", "text": "\xff is no UTF-8"}',
        b'{"domain": "json", "label": "a", "text": "half a pair \\ud800"}',
        b'{"domain": "json", "text": "No label at all."}',
        ("[" * 20000).encode(),
        good.encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    batches = read(tmp_path / "a.jsonl")
    # a field that is missing is a null, which the contract refuses
    assert [(row["line"], row["label"]) for row in kept(batches)] == [
        (1, ROWS[0]["label"]),
        (8, None),
        (10, ROWS[0]["label"]),
    ]
    found = {row["line"]: (row["field"], row["reason"]) for row in refused(batches)}
    assert found.keys() == {3, 4, 5, 6, 7, 9}
    assert found[3][1].startswith("not valid JSON")
    assert found[4] == (None, "not a JSON object")
    assert found[5] == ("label", "int where text is expected")
    assert found[6] == found[7] == ("text", "not valid UTF-8")
    came = {row["line"]: row["row"] for row in refused(batches)}
    assert came[5] == lines[4].decode()
    assert "udcff is no UTF-8" in came[6]
    assert sum(one.rows for one in batches) == 9
    (piece,) = [one for one in batches if 8 in one.records["line"].to_pylist()]
    assert piece.as_they_came([piece.records["line"].to_pylist().index(8)]) == [lines[7].decode()]


def test_broken_csv_rows_keep_their_line_and_content(tmp_path: Path) -> None:
    content = (
        b"domain,label,text\r\n"
        b'json,a,"Two lines\r\nof text"\r\n'
        b"json,a\r\n"
        b"json,a,one,two\r\n"
        b"\r\n"
        b"json,a,caf\xe9 society\r\n"
        b'json,a,"quoted"badly\r\n'
        b"json,b,All is well.\r\n"
    )
    (tmp_path / "a.csv").write_bytes(content)
    batches = read(tmp_path / "a.csv")
    assert [(row["line"], row["text"]) for row in kept(batches)] == [(2, "Two lines\r\nof text"), (9, "All is well.")]
    found = [(row["line"], row["field"], row["reason"]) for row in refused(batches)]
    assert found[:3] == [
        (4, None, "2 fields where the header has 3"),
        (5, None, "4 fields where the header has 3"),
        (7, "text", "not valid UTF-8"),
    ]
    assert found[3][0] == 8
    assert found[3][2].startswith("not valid CSV")
    assert [row["row"] for row in refused(batches)][1] == "json,a,one,two"


def test_a_quote_that_is_never_closed_does_not_swallow_the_file_in_silence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('domain,label,text\njson,a,"never closed\njson,b,All is well.\n')
    batches = read(tmp_path / "a.csv")
    (row,) = refused(batches)
    assert row["line"] == 2
    assert "All is well." in row["row"]


def test_parquet_with_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"All is well.", b"\xff\xfe here"], pa.binary()).buffers())
    pq.write_table(pa.table({"domain": ["d", "d"], "label": ["a", "a"], "text": text}), tmp_path / "a.parquet")
    batches = read(tmp_path / "a.parquet")
    assert [row["line"] for row in kept(batches)] == [1]
    assert [(row["line"], row["reason"]) for row in refused(batches)] == [(2, "not valid UTF-8")]


def test_parquet_of_other_string_types(tmp_path: Path) -> None:
    labels = pa.array([row["label"] for row in ROWS]).dictionary_encode()
    texts = pa.array([row["text"] for row in ROWS], pa.large_string())
    pq.write_table(
        pa.table({"domain": [row["domain"] for row in ROWS], "label": labels, "text": texts}), tmp_path / "a.parquet"
    )
    assert [row["label"] for row in kept(read(tmp_path / "a.parquet"))] == [row["label"] for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"domain,text\n", ["no column named `label`", "`domain`, `text`"]),
        ("a.csv", b"", ["no header"]),
        ("a.csv", b"domain,label,label,text\n", ["2 columns named `label`"]),
        ("a.parquet", b"PAR1 not really", ["not readable as Parquet"]),
        ("a.parquet.gz", gzip.compress(b"PAR1 not really", mtime=0), ["not readable as Parquet"]),
        ("a.parquet.gz", gzip.compress(bytes(1000), mtime=0)[:-9], ["the archive is broken"]),
        ("a.jsonl.gz", b"not gzip", ["the archive is broken", "gzip"]),
        ("a.csv.zst", b"not zstd", ["the archive is broken", "ZSTD"]),
    ],
)
def test_a_file_that_is_none_is_one_refused_row_and_the_others_go_on(
    tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    write(tmp_path / "b.jsonl")
    batches = read(tmp_path)
    (row,) = refused(batches)
    assert (row["file"], row["line"], row["field"], row["row"]) == (name, None, None, "")
    for word in words:
        assert word in row["reason"]
    assert str(tmp_path) not in row["reason"]
    assert [one["line"] for one in kept(batches)] == list(range(1, len(ROWS) + 1))
    assert (sum(one.files for one in batches), sum(one.files_refused for one in batches)) == (2, 1)
    assert sum(one.rows for one in batches) == len(ROWS) + 1


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".csv"])
def test_a_truncated_archive_gives_its_whole_lines(tmp_path: Path, kind: str, packing: str) -> None:
    # hex digits do not pack well: the archive has many blocks
    rows = [row | {"text": hashlib.sha256(f"{at}".encode()).hexdigest() * 2} for at, row in enumerate(ROWS * 1000)]
    path = write(tmp_path / f"a{kind}{packing}", rows)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    batches = read(tmp_path)
    found = kept(batches)
    assert 0.1 < len(found) / len(rows) < 0.9
    assert [row["text"] for row in found] == [row["text"] for row in rows[: len(found)]]
    (broken,) = refused(batches)
    assert "the archive is broken from here on" in broken["reason"]
    if kind == ".jsonl":
        assert broken["line"] == len(found) + 1
        assert json.dumps(rows[len(found)]).startswith(broken["row"])
    assert sum(one.rows for one in batches) == len(found) + 1
    assert sum(one.files_refused for one in batches) == 0


def test_an_unknown_kind_of_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(CorpusError, match=r"a\.txt: not a kind of file") as caught:
        read(tmp_path)
    assert str(tmp_path) not in str(caught.value)
    assert ".parquet" in caught.value.remedy


def test_a_parquet_column_that_holds_no_text(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"domain": "d", "label": 3, "text": "All is well."}])
    (row,) = refused(read(tmp_path))
    assert row["reason"] == "column `label` is int64; text is expected"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_ids_provenance_and_a_domain_for_all(tmp_path: Path, name: str) -> None:
    rows = [{"label": "a", "text": row["text"], "key": at, "hand": "edited"} for at, row in enumerate(ROWS)]
    one = FilesSource(
        kind="files",
        path=str(write(tmp_path / name, rows)),
        domain="support",
        columns=Columns(id="key", provenance="hand"),
    )
    found = kept(list(files.read(one)))
    assert [(row["domain"], row["id"], row["provenance"]) for row in found] == [
        ("support", str(at), "edited") for at in range(len(ROWS))
    ]


def test_files_behind_a_url(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://sources/deep/a.jsonl.gz", "wb") as file:
        file.write(packed("".join(json.dumps(row) + "\n" for row in ROWS).encode(), "a.gz"))
    one = FilesSource(kind="files", path="memory://sources")
    assert [(row["file"], row["text"]) for row in kept(list(files.read(one)))] == [
        ("deep/a.jsonl.gz", row["text"]) for row in ROWS
    ]


def test_a_folder_is_read_by_name_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "a.jsonl", ROWS[:1])
    write(tmp_path / "a.csv", ROWS[1:2])
    (tmp_path / ".part.jsonl").write_text("{")
    (tmp_path / "_SUCCESS").write_text("")
    assert [row["file"] for row in kept(read(tmp_path))] == ["a.csv", "b/a.jsonl"]


def test_signature_follows_names_and_contents_only(tmp_path: Path) -> None:
    before = files.signature(source(write(tmp_path / "a.jsonl").parent))
    other = tmp_path / "moved"
    other.mkdir()
    write(other / "a.jsonl")
    assert files.signature(source(other)) == before
    write(other / "a.jsonl", ROWS[:-1])
    assert files.signature(source(other)) != before
    with pytest.raises(CorpusError, match="no file or folder"):
        files.signature(source(tmp_path / "nowhere"))


def test_a_settled_file_is_hashed_once_and_a_changed_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl")
    hashed: list[str] = []
    plain = files._hash

    def counting(file: files._File) -> str:
        hashed.append(file.name)
        return plain(file)

    monkeypatch.setattr(files, "_hash", counting)
    first = files.signature(source(path))
    # just written: hashed whenever it is asked for
    assert files.signature(source(path)) == first
    assert len(hashed) == 2
    monkeypatch.setattr(files, "_SETTLED_SECONDS", 0.0)
    assert files.signature(source(path)) == files.signature(source(path)) == first
    assert len(hashed) == 3
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b'!"}' + content[-3:][3:])
    os.utime(path, (1, 1))
    assert path.stat().st_size == len(content)
    assert files.signature(source(path)) != first
    assert len(hashed) == 4
