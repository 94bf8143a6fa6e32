"""Tables as CSV behind links of the page.

What belongs here: making a table safe to open in a spreadsheet, and the link that carries it. What does not: which
tables a page offers (report.py).

A spreadsheet runs a cell that starts like a formula. Names come from the corpus, so text that starts so gets an
apostrophe in front, which spreadsheets take for "this is text"; numbers are left alone. All text is quoted.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

# ASCII, and the full-width forms that some spreadsheets fold onto it
FORMULA = r"^([\t\r\n]*[=+\-@＝＋－＠]|[\t\r\n])"
# tells spreadsheets that the file is UTF-8; readers of CSV skip it
MARK = "\ufeff".encode()


@dataclass(frozen=True)
class Download:
    """A file inside the page.

    Attributes:
        table: what it holds, as the page calls it.
        file: its name once saved.
        href: the file, as a `data:` link.
        rows: how many it holds, without the header.
    """

    table: str
    file: str
    href: str
    rows: int


def csv_bytes(table: pa.Table) -> bytes:
    """A table as UTF-8 CSV: a header, text quoted and guarded, empty where null, numbers to their last digit.

    Raises:
        pyarrow.ArrowInvalid: a column is a list or a struct.
    """
    from pyarrow import csv

    guarded = [
        pc.replace_substring_regex(table[name], FORMULA, r"'\1")
        if pa.types.is_string(table[name].type)
        else table[name]
        for name in table.column_names
    ]
    out = io.BytesIO()
    csv.write_csv(pa.table(guarded, names=table.column_names), out)
    return MARK + out.getvalue()


def download(table: pa.Table, study: str, name: str) -> Download:
    """A link to a table; both names are plain, as a study's and a table's are."""
    content = base64.b64encode(csv_bytes(table)).decode()
    return Download(name, f"{study}.{name}.csv", f"data:text/csv;charset=utf-8;base64,{content}", table.num_rows)
