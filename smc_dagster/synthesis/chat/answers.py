"""From an answer in free text to the texts in it.

What belongs here: finding the list in an answer and taking off what is not text. What does not: whether a text is fit
for a pool (endpoint.py).
"""

from __future__ import annotations

import json
import re

_FENCE = re.compile(r"^\s*```[\w-]*\s*$")
# 1.  2)  -  *  •  "Text 3:"
_BULLET = re.compile(r"^\s*(?:(?:\(?\d{1,3}[.):]|[-*•–])\s+|(?:text|example|document)\s*\d*\s*:\s*)", re.IGNORECASE)
_OPENING = re.compile(r"^\s*(?:```[\w-]*\s*)?\[", re.MULTILINE)
_QUOTED = re.compile(r'\s*"')
_COMMA = re.compile(r"\s*,")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("«", "»"), ("`", "`")}


def texts_in(answer: str) -> list[str]:
    """The texts of an answer: the strings of a JSON list where it holds or begins one, else its lines.

    Of a list that breaks off, as it does where an answer reaches the most tokens, the whole strings are taken.

    Bullets, numbers, code fences and quotes around a text are taken off, and runs of white space become one blank. A
    string with half a surrogate pair, which JSON can spell, is no text and is left out.
    """
    found = _json_list(answer)
    if found is None:
        found = _broken_list(answer)
    lines = [line for line in answer.splitlines() if not _FENCE.match(line)] if found is None else found
    return [text for text in (_plain(line) for line in lines) if text and not _HALF_PAIR.search(text)]


def _json_list(answer: str) -> list[str] | None:
    start, end = answer.find("["), answer.rfind("]")
    if start < 0 or end < start:
        return None
    try:
        found = json.loads(answer[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None
    return found


def _broken_list(answer: str) -> list[str] | None:
    """The strings of a list up to where it breaks; None where there is no whole one."""
    start = _OPENING.search(answer)
    at, found = (start.end() if start else len(answer)), []
    decoder = json.JSONDecoder()
    while _QUOTED.match(answer, at):
        try:
            text, at = decoder.raw_decode(answer, answer.index('"', at))
        except ValueError:
            break
        found.append(text)
        comma = _COMMA.match(answer, at)
        if comma is None:
            break
        at = comma.end()
    return found or None


def _plain(line: str) -> str:
    text = " ".join(_BULLET.sub("", line, count=1).split())
    if len(text) > 1 and (text[0], text[-1]) in _QUOTES:
        text = text[1:-1].strip()
    return text
