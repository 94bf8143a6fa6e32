"""Human text, lightly edited: the generator nearest to a person's hand.

What belongs here: which training documents are edited, how often, and that each result is new. What does not: the edits
themselves (light_edits.py).

The documents of a label are taken in an order drawn by hash; where more are asked than the label has, they are taken
again with other edits. An edit that changes nothing is followed by another; `opener` changes any text, so every text
differs from its parent in more than case and white space.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from smc_dagster.corpora.shingles import string_hashes
from smc_dagster.corpora.text import normalise
from smc_dagster.study import Provenance
from smc_dagster.synthesis.contract import Made, Request, made
from smc_dagster.synthesis.light_edits import ALWAYS, KINDS
from smc_dagster.synthesis.streams import stream

Kind = Literal["contraction", "spelling", "synonym", "function_word", "punctuation", "order", "opener"]
_ATTEMPTS = 8


class EditSettings(BaseModel):
    """Settings of the generator `edit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edits: int = Field(default=2, ge=1, le=10, description="edits that must take in each document")
    kinds: list[Kind] = Field(default_factory=lambda: list[Kind](KINDS), min_length=1, description="kinds of edit")  # type: ignore[arg-type]


class Edit:
    """The generator of light edits."""

    provenance = Provenance.edited
    settings = EditSettings
    counts_bind = True

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`; each text names its parent."""
        settings: EditSettings = request.settings
        texts: dict[str, list[str]] = {}
        parents: dict[str, list[str]] = {}
        labels = request.train["label"]
        for label, count in request.counts.items():
            own = request.train.filter(pc.equal(labels, label))
            # by id: rows of equal text keep an order that knows nothing of the table's
            own = own.take(pa.array(np.argsort(string_hashes(own["doc_id"], request.seed % 2**32), kind="stable")))
            ids, came = own["doc_id"].to_pylist(), own["text"].to_pylist()
            places = [place % len(ids) for place in range(count)]
            parents[label] = [ids[place] for place in places]
            seen: set[str] = set()
            texts[label] = [
                _new(came[place], settings, request.seed, (label, index), seen) for index, place in enumerate(places)
            ]
        return made(texts, self.provenance, "edit", parents)


def _new(text: str, settings: EditSettings, seed: int, name: tuple[str, int], seen: set[str]) -> str:
    """An edit of the text that the label has not had before, if eight attempts find one."""
    result = text
    for attempt in range(_ATTEMPTS):
        result = _edited(text, settings, stream(seed, "edit", *name, attempt))
        if normalise(result) not in seen:
            break
    seen.add(normalise(result))
    return result


def _edited(text: str, settings: EditSettings, random: np.random.Generator) -> str:
    taken, result = 0, " ".join(text.split()) or text
    kinds = list(settings.kinds)
    for place in random.permutation(len(kinds)):
        if taken == settings.edits:
            break
        changed = KINDS[kinds[place]](result, random)
        taken += normalise(changed) != normalise(result)
        result = changed
    if normalise(result) == normalise(text):
        # none of the kinds asked fits this text
        result = KINDS[ALWAYS[-1]](result, random)
    return result
