"""Text made comparable, and the identity of a document.

What belongs here: normalisation and the hash of (domain, label, normalised text). What does not: deciding that two
different texts are nearly the same (near_duplicates.py), or whether a text is fit to be a document (contract.py).
"""

from __future__ import annotations

import hashlib
import unicodedata

import pyarrow as pa

ID_DIGITS = 32


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
    """`doc_id` row by row, for three string columns of one length."""
    rows = zip(domains.to_pylist(), labels.to_pylist(), texts.to_pylist(), strict=True)
    return pa.array([doc_id(domain, label, text) for domain, label, text in rows], pa.string())
