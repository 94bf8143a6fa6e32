"""How much of the noise of a paired difference in recall is due to documents, to replicates, and to single answers.

What belongs here: these parts, and what they make of another number of documents. What does not: intervals (effects.py)
and what is concluded.

Replicates and documents are crossed: d[r, i] = mean of the label + document i + replicate r + answer (r, i), a two-way
layout with one observation a cell. Its parts follow from the mean squares (Searle, Casella & McCulloch 1992, ch. 4),
pooled over labels, as one label's documents are too few to give them; a negative part is set to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Variances of one difference: between documents of a label, between replicates, and of the single answer.

    Attributes:
        replicates: how many there were; of one, the noise of replicates cannot be seen and counts as 0.
    """

    document: float
    replicate: float
    answer: float
    replicates: int

    def error(self, documents: int | Floats) -> Floats:
        """Standard error of the mean difference over so many documents of one label and all replicates."""
        per_document = self.document + self.answer / self.replicates
        return np.sqrt(per_document / np.asarray(documents, dtype=float) + self.replicate / self.replicates)

    def documents_needed(self, error: float) -> int | None:
        """Documents of one label at which `error` comes down to that given; None where replicates alone exceed it."""
        left = error**2 - self.replicate / self.replicates
        return None if left <= 0 else math.ceil((self.document + self.answer / self.replicates) / left - 1e-9)


def label_noise(differences: list[Floats], labels: list[NDArray]) -> Noise | None:
    """The parts, pooled over all labels with two documents or more and over all pairs of arms.

    Args:
        differences: by pair of arms, [replicates, documents] correct answers of the one less those of the other.
        labels: by pair of arms, [documents].

    Returns:
        None where no label has two documents.
    """
    squares = np.zeros(3)
    freedom = np.zeros(3)
    documents = 0.0
    count = 1
    for found, names in zip(differences, labels, strict=True):
        codes, sizes = np.unique(names.astype(str), return_inverse=True, return_counts=True)[1:]
        kept = sizes[codes] >= 2
        if not kept.any():
            continue
        d, codes = found[:, kept], codes[kept]
        r, n = d.shape
        count = max(count, r)
        means = np.zeros((r, len(sizes)))
        for one, row in zip(means, d, strict=True):
            np.add.at(one, codes, row)
        means /= np.maximum(sizes, 1)
        grand, of_document = means.mean(axis=0), d.mean(axis=0)
        rest = d - means[:, codes] - (of_document - grand[codes])
        used = sizes[sizes >= 2]
        squares += [
            r * ((of_document - grand[codes]) ** 2).sum(),
            (((means - grand) ** 2) * np.where(sizes >= 2, sizes, 0)).sum(),
            (rest**2).sum(),
        ]
        freedom += [n - len(used), (r - 1) * len(used), (r - 1) * (n - len(used))]
        documents += (r - 1) * float(used.sum())
    if freedom[0] == 0:
        return None
    if count == 1:
        return Noise(float(squares[0] / freedom[0]), 0.0, 0.0, 1)
    answer = float(squares[2] / freedom[2])
    # a label's squares between replicates are expected at (replicates - 1) (its documents x replicate part + answer)
    replicate = (squares[1] - freedom[1] * answer) / documents
    return Noise(
        document=max(0.0, float(squares[0] / freedom[0] - answer) / count),
        replicate=max(0.0, float(replicate)),
        answer=answer,
        replicates=count,
    )


def replicate_error(differences: Floats, weights: Floats, answer: float) -> float:
    """Standard error of a weighted mean of differences that more documents would not take away.

    Args:
        differences: [replicates, documents].
        weights: [documents], with sum 1.
        answer: variance of a single answer (`Noise.answer`).
    """
    replicates = len(differences)
    if replicates == 1:
        return 0.0
    between = float(np.var(differences @ weights, ddof=1)) - answer * float((weights**2).sum())
    return math.sqrt(max(0.0, between) / replicates)
