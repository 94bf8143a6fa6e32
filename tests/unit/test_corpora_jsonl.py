"""JSON lines: reading whole blocks gives what reading line by line gives, whatever the rows and the cuts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_dagster.corpora import blocks, jsonl
from smc_dagster.corpora.blocks import Block
from smc_dagster.corpora.pieces import Wanted

WANTED = Wanted({"domain": "d", "label": "lab el", "text": "t", "id": "id", "provenance": "p"})
SMALL = settings(max_examples=150, deadline=None)

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["plain words here", "café ☕", 'a "quoted" {brace} [x]', "\\ud800", "tab\tnew\nline", "\0", "}\n{", ""]
    ),
)
values = st.one_of(texts, texts, texts, st.none(), st.integers(-(2**70), 2**70), st.booleans(), st.floats())
nested = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
keys = st.sampled_from(["d", "lab el", "t", "id", "p", "extra", "", "café"])
rows = st.lists(st.tuples(keys, st.one_of(values, nested)), max_size=6)


def encoded(row: list[tuple[str, Any]], ascii_only: bool) -> bytes:
    """An object with its keys as given, twice the same one too."""
    parts = (f"{json.dumps(k, ensure_ascii=ascii_only)}: {json.dumps(v, ensure_ascii=ascii_only)}" for k, v in row)
    return ("{" + ", ".join(parts) + "}").encode("utf-8", "surrogatepass")


sound = st.builds(
    lambda *of: json.dumps(dict(zip(("d", "lab el", "t", "id", "x"), of, strict=True)), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    ),
    texts, texts, texts, st.one_of(st.none(), texts, st.integers(-(2**63), 2**63 - 1)), nested,
)  # fmt: skip
lines = st.one_of(
    sound, sound, sound,
    st.builds(encoded, rows, st.booleans()),
    st.sampled_from(
        [b"", b"  ", b"\xef\xbb\xbf{}", b"{}", b'{"t": "\xff"}', b'{"t": "\\ud800"}', b'{"t": "\\udc00 \\u0000"}',
         b'{"t": 1} {"t": 2}', b'{"t":', b'"a"}', b"[1]", b"{}{}", b'{"x": NaN}', b'{"x": 01}', b'{"id": -0}',
         b'{"id": 1.0}', b'{"x": "}', b'{', b'}', b'{"x": {"y": 1}', b', "z": {}}', b'{"t": "a\tb"}', b"nul",
         b'{"x": ' + b"1" * 5000 + b"}", b'{"t": "\\/\\b"}',
         b' {"t": "led by a blank"} ', b'{"\\u0074": "escaped key"}',
         b'{"t": "x", "deep": ' + b"[" * 300 + b"]" * 300 + b"}",
         b'{"t": "x", "deep": ' + b"[" * 700 + b"]" * 700 + b"}"]
    ),
    st.binary(max_size=12).filter(lambda one: b"\n" not in one),
)  # fmt: skip


def outcome(content: bytes, block_bytes: int, small: int) -> tuple[list[dict], list[dict], int, list[str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        patch.setattr(jsonl, "SMALL_BYTES", small)
        batches = list(jsonl.read_jsonl(io.BytesIO(content), "f.jsonl", WANTED))
    kept = [row for one in batches for row in one.records.to_pylist()]
    refused = [row for one in batches for row in one.refused.to_pylist()]
    came = [text for one in batches for text in one.as_they_came(range_of(one.records.num_rows))]
    return kept, refused, sum(one.rows for one in batches), came


def range_of(rows: int) -> Any:
    import numpy as np

    return np.arange(rows)


def by_line(content: bytes) -> tuple[list[dict], list[dict], int, list[str]]:
    one = jsonl._read_lines(Block(content, 1), "f.jsonl", WANTED)
    return one.records.to_pylist(), one.refused.to_pylist(), one.rows, one.as_they_came(range_of(one.records.num_rows))


@SMALL
@given(
    st.lists(lines, max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.sampled_from([7, 100, 1 << 20]),
    st.sampled_from([0, 60]),
)  # fmt: skip
def test_blocks_give_what_lines_give(
    content: list[bytes], end: bytes, ended: bool, block_bytes: int, small: int
) -> None:
    whole = end.join(content) + (end if ended else b"")
    assert outcome(whole, block_bytes, small) == by_line(whole)


@SMALL
@given(st.lists(sound, min_size=1, max_size=8))
def test_rows_in_are_rows_out(content: list[bytes]) -> None:
    kept, refused, rows, _ = outcome(b"\n".join(content), 50, 0)
    assert rows == len(content) == len(kept) + len(refused)


def test_sound_blocks_are_read_whole_and_numbered_ids_too() -> None:
    for ids in (["a", "b"], [7, -8], [None, 3]):
        content = "".join(json.dumps({"d": "x", "t": f"t {one}", "id": one}) + "\n\n" for one in ids).encode()
        batch = jsonl._parse(Block(content, 5), "f.jsonl", WANTED)
        assert batch is not None
        got = batch.records.to_pylist()
        assert [row["id"] for row in got] == [None if one is None else str(one) for one in ids]
        assert [row["line"] for row in got] == [5, 7]
        assert {row["label"] for row in got} == {None}


def test_what_is_doubtful_is_not_read_whole() -> None:
    for doubtful in (
        b'{"t":\n"a"}\n{"t": "b"} {"t": "c"}\n',
        b'{"x":\n{"y": 1}}\n{"t": "b"} {"t": "c"}\n',
        b'{"t": "\\udc00"}\n',
        b'{"t": "a", "t": "b"}\n',
        b'{"x": "\0"}\n',
    ):
        assert jsonl._parse(Block(doubtful, 1), "f.jsonl", WANTED) is None


def test_a_line_too_long_is_refused_with_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(blocks, "KEPT_BYTES", 10)
    good = b'{"t": "short"}\n'
    for length in (1001, 5000):
        for size in (64, 500, 999):
            long = b'{"t": "' + b"a" * (length - 9) + b'"}\n'
            kept, refused, rows, _ = outcome(good + long + good + long[:-1], size, 16)
            assert [row["line"] for row in kept] == [1, 3]
            assert [row["line"] for row in refused] == [2, 4]
            assert rows == 4
            assert {row["row"] for row in refused} == {'{"t": "aaa'}
            assert f"{length:,} bytes" in refused[0]["reason"]
