"""What near-duplicate search finds of what there is, against brute force.

5,000 real docstrings, 1,500 of them replaced by edits of others (words replaced, left out or put in). Truth is made
here from Python sets: every text with every other. Targets: at least .99 of the pairs of Jaccard .8 or more end in one
cluster, every pair that `similar` names is true (precision 1), and ten templates of 5,000 documents each come out
whole. Exit status 1 where one is missed.

    python -m bench.recall
"""

from __future__ import annotations

import random
import sys

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from bench.texts import docstrings
from smc_dagster.corpora.near_duplicates import clusters, similar
from smc_dagster.corpora.shingles import REACH_WORDS, SHORT_WORDS, word_forms

TEXTS, PLANTED, THRESHOLD, RECALL = 5_000, 1_500, 0.8, 0.99
TEMPLATES, FILLED = 10, 5_000


def corpus(seed: int = 3) -> list[str]:
    """Docstrings, some of them edits of others."""
    source = random.Random(seed)
    texts = docstrings()
    source.shuffle(texts)
    texts = texts[:TEXTS]
    vocabulary = sorted({word for text in texts for word in text.split()})
    for place in range(TEXTS - PLANTED, TEXTS):
        words = texts[source.randrange(TEXTS - PLANTED)].split()
        for _ in range(1 + source.randrange(1 + len(words) // 12)):
            at, kind = source.randrange(len(words)), source.random()
            if kind < 1 / 3:
                words[at] = source.choice(vocabulary)
            elif kind < 2 / 3 and len(words) > 3:
                del words[at]
            else:
                words.insert(at, source.choice(vocabulary))
        texts[place] = " ".join(words)
    return texts


def truth(texts: list[str]) -> set[tuple[int, int]]:
    """Pairs of the threshold or more by definition."""
    forms = word_forms(pa.array(texts)).to_pylist()
    words = np.array([len(form.split()) for form in forms])
    pairs: set[tuple[int, int]] = set()
    for kind in ("chars", "words"):
        made = [_shingles(form, kind) for form in forms]
        number = {one: i for i, one in enumerate(sorted(frozenset().union(*made)))}
        columns = [number[one] for some in made for one in some]
        holds = csr_matrix((np.ones(len(columns), np.int32), columns, np.cumsum([0, *map(len, made)])))
        both = (holds @ holds.T).tocoo()
        size = np.diff(holds.indptr)
        a, b = both.row, both.col
        close = both.data >= THRESHOLD * (size[a] + size[b] - both.data) - 1e-9
        has_short = np.minimum(words[a], words[b]) < SHORT_WORDS
        reachable = ~has_short | (np.maximum(words[a], words[b]) < REACH_WORDS)
        judged = close & reachable & (has_short == (kind == "chars")) & (a < b)
        pairs |= set(zip(a[judged].tolist(), b[judged].tolist(), strict=True))
    return pairs


def _shingles(form: str, kind: str) -> frozenset[str]:
    if kind == "chars":
        return frozenset(form[at : at + 4] for at in range(max(1, len(form) - 3)))
    split = form.split()
    return frozenset(" ".join(split[at : at + 2]) for at in range(max(1, len(split) - 1)))


def templates() -> tuple[int, int]:
    """Clusters that ten templates of one slot, each filled by 5,000 words, come out as, and that they mix."""
    words = sorted({word for text in docstrings() for word in text.split() if word.isalpha() and len(word) < 9})
    verbs, fill = words[: 100 * TEMPLATES : 100], words[-FILLED:]
    pattern = "{0} every {1} that the {0} of a {0} has been given and {0} it again before it is {0} or closed"
    texts = pa.array([pattern.format(verb, word) for verb in verbs for word in fill])
    ids = pa.array(np.char.mod("%06d", np.arange(len(texts))), pa.string())
    found = np.array(clusters(ids, texts, THRESHOLD).to_pylist()).reshape(TEMPLATES, len(fill))
    return len(np.unique(found)), sum(len(np.unique(row)) for row in found)


def main() -> int:
    """Print recall, precision and templates; exit status 1 where a target is missed."""
    texts = corpus()
    pairs = truth(texts)
    ids = pa.array([f"{number:05d}" for number in range(len(texts))])
    cluster = np.array(clusters(ids, pa.array(texts), THRESHOLD).to_pylist())
    recall = float(np.mean([cluster[a] == cluster[b] for a, b in pairs]))
    named = similar(ids, pa.array(texts), ids, pa.array(texts), THRESHOLD)
    proposed = {(int(a), int(b)) for a, b in zip(named["a"].to_pylist(), named["b"].to_pylist(), strict=True) if a < b}
    precision = len(proposed & pairs) / max(1, len(proposed))
    found, apart = templates()
    print(f"{len(pairs):,} pairs of Jaccard >= {THRESHOLD} among {len(texts):,} docstrings and edits of them")
    print(f"recall of clusters {recall:.4f} (target: at least {RECALL}) {_met(recall >= RECALL)}")
    print(f"recall of pairs {len(proposed & pairs) / max(1, len(pairs)):.4f}, precision {precision:.4f} (target: 1)")
    print(f"{TEMPLATES} templates of {FILLED:,} documents: {found} clusters {_met(found == apart == TEMPLATES)}")
    return 0 if recall >= RECALL and precision == 1 and found == apart == TEMPLATES and len(pairs) > 100 else 1


def _met(whether: bool) -> str:
    return "met" if whether else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
