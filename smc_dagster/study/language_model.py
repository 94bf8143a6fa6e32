"""The section `language_model` of a study file.

What belongs here: its keys and their ranges. What does not: the study that holds it (model.py), and the model itself
(synthesis/language_model/).
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from smc_dagster.study.sources import Model

SCRATCH = "scratch"


class Recursion(Model):
    """How a generation is sampled to train the next one."""

    temperature: float = Field(default=1.0, ge=0.05, le=5)
    top_p: float = Field(default=1.0, gt=0, le=1)


class LanguageModel(Model):
    """The causal transformer that the generators `lm` and `recursive` sample."""

    model: str = Field(
        default=SCRATCH,
        min_length=1,
        description="`scratch`: GPT-2-shaped, of the size below; else a folder or a hub name to train on from",
    )
    width: int = Field(default=128, ge=8, le=4096, description="scratch: hidden units, a multiple of `heads`")
    layers: int = Field(default=3, ge=1, le=64, description="scratch")
    heads: int = Field(default=4, ge=1, le=64, description="scratch")
    vocabulary: int = Field(default=2048, ge=257, le=65536, description="scratch: tokens, those of labels not counted")
    max_tokens: int = Field(default=64, ge=8, le=1024, description="longer texts are cut; label and end count")
    epochs: float = Field(default=8.0, gt=0, le=1000)
    batch: int = Field(default=32, ge=1, le=4096, description="texts of a step")
    learning_rate: float = Field(default=4e-3, gt=0, le=1)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of steps with a rising learning rate")
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    checkpoint_every: int = Field(default=200, ge=1, description="steps that a killed run repeats at most")
    recursion: Recursion = Recursion()


def generation_of(generator: str, settings: Mapping[str, object]) -> int | None:
    """Which generation a pool's generator samples, 0 the first; None: it samples none."""
    if generator == "lm":
        return 0
    # the settings are checked elsewhere: what is no number there is refused before anything is made
    again = settings.get("generation", 2)
    return int(again) - 1 if generator == "recursive" and isinstance(again, int | float) else None
