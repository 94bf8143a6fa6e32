"""The section `training` of a study file.

What belongs here: its keys and their ranges. What does not: the study that holds it (model.py), training (training/).
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from smc_dagster.study.sources import Model

ENCODER = "all-MiniLM-L6-v2"


class Tuning(StrEnum):
    """What of the network is trained."""

    HEAD = "head"
    FULL = "full"


class Network(Model):
    """The network that `tuning: full` trains, by one of the three."""

    name: str | None = Field(default=None, min_length=1, description=f"`{ENCODER}`, or a name on the hub")
    revision: str = Field(default="main", min_length=1, description="of a hub name: branch, tag or commit")
    folder: str | None = Field(default=None, min_length=1, description="config, tokenizer and weights as safetensors")
    config: str | None = Field(
        default=None, min_length=1, description="folder of config and tokenizer; the weights start at random"
    )

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Network:
        given = [name for name in ("name", "folder", "config") if getattr(self, name) is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)} are given" if given else "none is given"
            raise ValueError(f"give one of name, folder and config; {said}")
        if self.revision != "main" and self.name is None:
            raise ValueError("revision: only a hub name has one")
        return self


class Training(Model):
    """The fixed compute budget of every arm and replicate."""

    tuning: Tuning = Field(default=Tuning.HEAD, description="a head on frozen vectors, or the whole network")
    encoder: str = Field(default=ENCODER, description="makes the frozen vectors: the locked weights, or a local folder")
    model: Network = Field(default=Network(name=ENCODER), description="tuning `full`: what is trained")
    max_tokens: int = Field(default=64, ge=8, le=512)
    hidden: int = Field(default=256, ge=8, le=4096, description="tuning `head`: hidden units")
    steps: int = Field(default=600, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of steps with a rising learning rate")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="tuning `full`: part of the target that all labels share"
    )
    checkpoint_every: int = Field(
        default=200, ge=1, description="tuning `full`: steps that a killed run repeats at most"
    )

    @property
    def is_full(self) -> bool:
        """Whether the whole network is trained."""
        return self.tuning is Tuning.FULL

    @model_validator(mode="after")
    def _keys_fit_tuning(self) -> Training:
        foreign = {Tuning.HEAD: ("model", "checkpoint_every", "label_smoothing"), Tuning.FULL: ("hidden",)}[self.tuning]
        for name in foreign:
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of no use with tuning `{self.tuning.value}`: take it out")
        if self.is_full and "learning_rate" not in self.model_fields_set:
            raise ValueError(
                "learning_rate: tuning `full` has no default, as that of a head would undo the network; 1e-5 to 5e-4 "
                "are usual"
            )
        return self
