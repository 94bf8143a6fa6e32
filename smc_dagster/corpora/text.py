"""Text made comparable, and the identity of a document.

What belongs here: normalisation and the hash of (domain, label, normalised text). What does not: deciding that two
different texts are nearly the same (near_duplicates.py), or whether a text is fit to be a document (contract.py).
"""

from __future__ import annotations

import hashlib
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ID_DIGITS = 32
_SLICE_ROWS = 100_000
_BLANK = 32


def normalise(text: str) -> str:
    """Text as it counts for identity: NFKC, case folded, every run of white space one blank, trimmed.

    NFKC runs on both sides of the case folding, as folding can undo it (Unicode standard, section 3.13).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def doc_id(domain: str, label: str, text: str) -> str:
    """Identity of a document: sha256 over domain, label and normalised text, its first 32 hex digits.

    The parts are set apart by NUL, which the contract refuses in each of them, so no two triples run together.
    """
    content = f"{domain}\0{label}\0{normalise(text)}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:ID_DIGITS]


def doc_ids(
    domains: pa.Array | pa.ChunkedArray, labels: pa.Array | pa.ChunkedArray, texts: pa.Array | pa.ChunkedArray
) -> pa.Array:
    """`doc_id` row by row, for three string columns of one length, none of them null."""
    parts = []
    for start in range(0, len(texts), _SLICE_ROWS):
        domain, label, text = (_one_array(one.slice(start, _SLICE_ROWS)) for one in (domains, labels, texts))
        contents = pc.binary_join_element_wise(domain, label, normalised(text), "\0").cast(pa.binary())
        parts.append(_hashed(contents))
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def content_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 bytes of strings without nulls, and their bounds in them: text i is content[offsets[i]:offsets[i + 1]]."""
    if not len(texts):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return content, (offsets - offsets[0]).astype(np.int64)


def normalised(texts: pa.Array) -> pa.Array:
    """`normalise` of each text: at once for those of plain ASCII with single blanks, one by one for the others."""
    if not len(texts):
        return texts
    content, offsets = content_of(texts)
    lowered = pc.ascii_lower(texts)
    full = np.flatnonzero(offsets[1:] > offsets[:-1])
    odd = np.zeros(len(texts), np.bool_)
    odd[full] = (content[offsets[full]] == _BLANK) | (content[offsets[full + 1] - 1] == _BLANK)
    if len(content) and (content.min() < _BLANK or content.max() >= 128):
        odd[_rows_of(np.flatnonzero((content < _BLANK) | (content >= 128)), offsets)] = True
    # a pair may run over the border of two texts: then one of the two was odd already
    blank = content == _BLANK
    odd[_rows_of(np.flatnonzero(blank[1:] & blank[:-1]), offsets)] = True
    if not odd.any():
        return lowered
    which = pa.array(odd)
    return pc.replace_with_mask(
        lowered, which, pa.array([normalise(one) for one in texts.filter(which).to_pylist()], pa.string())
    )


def _rows_of(places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.searchsorted(offsets, places, side="right") - 1


def _hashed(contents: pa.Array) -> pa.Array:
    """sha256 of each string of bytes, its first ID_DIGITS hex digits."""
    fresh = hashlib.sha256().copy  # a copy costs less than setting a hash up anew
    digits = bytearray()
    for content in contents.to_pylist():
        state = fresh()
        state.update(content)
        digits += state.digest()[: ID_DIGITS // 2]
    offsets = np.arange(0, ID_DIGITS * len(contents) + 1, ID_DIGITS, dtype=np.int32)
    hexadecimal = digits.hex().encode()
    return pa.Array.from_buffers(pa.string(), len(contents), [None, pa.py_buffer(offsets), pa.py_buffer(hexadecimal)])
