"""What every fault is given, and what must hold after it.

What belongs here: the study under trial, and comparing it with an undisturbed one. What does not: any fault.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import dagster as dg

from bench.services import ARM_TABLES, MEASURED, Services

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


class LeftOutError(Exception):
    """A fault that this machine cannot be given, and why."""


@dataclass
class Trial:
    """What every fault is given.

    Attributes:
        site: the study and its services.
        expected: contents of the undisturbed study.
        daemon: the daemon that runs now.
    """

    site: Services
    expected: dict[str, str]
    daemon: subprocess.Popen[bytes]

    @property
    def arm(self) -> str:
        """The arm that is made anew under the fault: the last one."""
        return self.site.study.arms[-1].key

    def intact(self) -> None:
        """Whatever is there is what it was: nothing half-written, nothing lost but what was to be made.

        Raises:
            AssertionError: which tables are not.
        """
        found = self.site.contents()
        wrong = [name for name, digest in found.items() if self.expected.get(name) != digest]
        missing = [name for name in self.expected if name not in found and f"[{self.arm}]" not in name]
        missing = [name for name in missing if f"arm={self.arm}" not in name]
        assert not wrong, f"changed: {', '.join(wrong)}"
        assert not missing, f"lost: {', '.join(missing)}"

    def whole(self) -> None:
        """Everything is there and as it was undisturbed."""
        self.intact()
        missing = self.expected.keys() - self.site.contents().keys()
        assert not missing, f"missing: {', '.join(sorted(missing))}"

    def next_run(self, *words: str) -> None:
        """`smc study run` makes what is missing, and ends well."""
        done = self.site.smc("study", "run", "--arms", self.arm, "--json", *words)
        assert done.returncode == 0, done.stderr[-2000:]

    def says(self, text: str, *words: str) -> str:
        """The line of a text that holds the words."""
        for line in text.splitlines():
            if all(word in line for word in words):
                return " ".join(line.split())
        raise AssertionError(f"nothing says {words}: …{text[-1500:]}")

    def again(self, tables: tuple[str, ...] = MEASURED) -> str:
        """Remove the arm's tables and ask for them; returns the run's id."""
        more = ("training_curves",) if "checkpoints" in tables else ()
        self.site.remove(self.arm, (*tables, *more))
        return self.site.launch("arms", self.arm, tables if tables != ARM_TABLES else ())
