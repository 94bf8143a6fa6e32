"""URLs that hold a secret: they are refused, as a place is told in errors, in metadata and to Dagster.

What belongs here: telling such a URL from others, and showing it without the secret. What does not: reading secrets,
which fsspec does from its own environment variables or files.
"""

from __future__ import annotations

import re

# a password before the host, and what comes after a question mark, as signed URLs have it
_PASSWORD = re.compile(r"(://[^/?#:@\s]*:)[^/\s]*@")
_QUERY = re.compile(r"(://[^?\s]*\?)[^\s'\"]+")
REMEDY = (
    "leave it out of the URL and give it to fsspec in the environment (FSSPEC_<PROTOCOL>_<ARGUMENT>, e.g. "
    "FSSPEC_S3_SECRET) or as the store's own tools do"
)


def masked(text: str) -> str:
    """A text in which every password and query of a URL is `***`."""
    return _QUERY.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def holds_secret(place: str) -> bool:
    """Whether a path or URL has a password or a query; a local path has neither."""
    return masked(place) != place
