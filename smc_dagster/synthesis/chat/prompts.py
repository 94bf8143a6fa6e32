"""What a chat model is asked for: texts of one label, beside examples from the training split.

What belongs here: the wording and the choice of examples. What does not: sending it (asking.py).

The examples of request number i of a label are drawn by a stream of their own, so that a prompt depends neither on
other labels nor on what was answered before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from smc_dagster.synthesis.chat.asking import Messages
from smc_dagster.synthesis.streams import stream

SYSTEM = "You write short texts for a data set. You answer with the texts alone."
DEFAULT = (
    "Write {count} new texts of the kind `{label}` (from the field `{domain}`), in the style of the examples and as "
    "varied as real ones. Do not copy an example. Answer with a JSON list of {count} strings.\n\nExamples:\n{examples}"
)
FIELDS = ("count", "label", "domain", "examples")
_FIELD = re.compile(r"\{(" + "|".join(FIELDS) + r")\}")


def messages(
    template: str, label: str, domain: str, own: Sequence[str], examples: int, count: int, seed: int, number: int
) -> Messages:
    """The messages of a label's request of that number.

    Args:
        template: wording with the fields `{count}`, `{label}`, `{domain}` and `{examples}`; other braces stay.
        own: the label's training texts, in an order of their own.
        examples: how many of them are shown.
    """
    random = stream(seed, "endpoint", label, number)
    chosen = random.permutation(len(own))[:examples]
    shown = "\n".join(f"- {' '.join(own[place].split())}" for place in chosen)
    values = {"count": str(count), "label": label, "domain": domain, "examples": shown}
    # one pass, so that braces in a text are not read as fields
    content = _FIELD.sub(lambda found: values[found.group(1)], template)
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
