"""The errors a person can do something about.

What belongs here: exceptions whose message names what is wrong, where, and the remedy. `smc` turns each into exit
status 2. What does not: programming errors, which stay ordinary exceptions with a traceback.
"""

from __future__ import annotations


class SmcError(Exception):
    """Bad input or a state that a person must change.

    Args:
        problem: what is wrong, naming the file, the field and the value where there is one.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}\n  remedy: {remedy}" if remedy else problem)


class StudyError(SmcError):
    """A study that does not exist, or a study file that breaks its rules."""


class CorpusError(SmcError):
    """A source that cannot be read, or that leaves nothing to study."""


class CapsError(SmcError):
    """A caps or strictness seed that breaks its rules."""


class WeightsError(SmcError):
    """Encoder weights that are missing or are not the published ones."""


class LakeError(SmcError):
    """A lake that is unreadable, half-written, or another study's."""


class StaleInputError(LakeError):
    """A table that is missing, or was made from other inputs than the study now asks for."""


class GateError(SmcError):
    """An arm that does not pass the audit: not released."""


class ModelError(SmcError):
    """A network whose training fails, or a language model that gives no text that could stand."""


class DeviceError(ModelError):
    """A device that no longer answers: nothing else can be trained on it by this process."""


class ExportError(SmcError):
    """A model that cannot be written for others to load, or a place that cannot take it."""


class InterruptedWorkError(SmcError):
    """Work that something outside cut off and that can be done again as it is: the one kind that steps retry."""
