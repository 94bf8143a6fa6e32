"""The prose a docstring opens with.

What belongs here: the first paragraph of a docstring, freed of the markup that would tell the conventions of a project
rather than what its author says. What does not: finding docstrings (docstrings.py), or judging length (contract.py).
"""

from __future__ import annotations

import re

_SECTIONS = (
    "parameters|other parameters|args|arguments|keyword args|keyword arguments|attributes|returns?|yields?|receives|"
    "raises|warns|warnings?|see also|notes?|references|examples?|usage|methods|members|todo"
)
_SECTION = re.compile(rf"(?:{_SECTIONS})\s*:?", re.IGNORECASE)
# where prose ends without a blank line: a section, a field list, a directive, a doctest, an epydoc tag
_STOP = re.compile(
    rf"(?:{_SECTIONS})\s*::?\s*$|[:@](?:param|type|arg|keyword|kwarg|returns?|rtype|raises?|yields?|ivar|cvar|var)\b"
    r"|\.\. |>>> |```",
    re.IGNORECASE,
)
_RULE = re.compile(r"([=\-~^*#+_.:\"'`])\1{2,}")
_SIGNATURE = re.compile(r"[A-Za-z_][\w.]*\(.*\)\s*(?:->.*|:)?")
_ROLE = re.compile(r":[A-Za-z][\w+.:-]*:`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`")


def first_paragraph(docstring: str) -> str | None:
    """The first paragraph of prose, on one line; None where the docstring has none.

    A title with a rule under it counts only where no prose follows it; a call signature in front is left out; a
    docstring that opens with a section, a field list, a directive or a doctest has no prose. Of inline markup, the
    roles (`:class:`~a.B``) and doubled backticks go, their content stays; the rest is the author's and stays.
    """
    taken: list[str] = []
    title: str | None = None
    for line in docstring.splitlines():
        bare = line.strip()
        if not bare:
            if taken:
                break
        elif _RULE.fullmatch(bare):
            heading = taken.pop() if taken else None
            if taken or (heading and _SECTION.fullmatch(heading)):
                break
            title = title or heading
        elif _STOP.match(bare):
            break
        elif taken or not _SIGNATURE.fullmatch(bare):
            taken.append(bare)
    prose = " ".join(taken) or title
    if not prose:
        return None
    plain = _ROLE.sub(r"\1", prose).replace("``", "")
    return " ".join(plain.split()) or None
