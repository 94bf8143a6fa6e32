"""Text of the language model, and of its later generations: the generators `lm` and `recursive`.

What belongs here: their settings, and handing the request to the sampler. What does not: the model and how it is
sampled (language_model/).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from smc_dagster import progress
from smc_dagster.errors import ModelError
from smc_dagster.study import Provenance
from smc_dagster.synthesis.contract import Made, Request, made
from smc_dagster.synthesis.language_model.sample import Diversity, sample


class LmSettings(BaseModel):
    """Settings of the generator `lm`: what makes its texts more or less varied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(default=1.0, ge=0.05, le=5, description="below 1 sharper, above 1 flatter")
    top_p: float = Field(default=1.0, gt=0, le=1, description="share of the probability that tokens are drawn from")
    prototypes: int = Field(default=0, ge=0, le=10_000, description="texts whose first words open all; 0: free")
    max_new_tokens: int = Field(default=0, ge=0, le=1024, description="0: as many as the model was trained on")


class RecursiveSettings(LmSettings):
    """Settings of the generator `recursive`."""

    generation: int = Field(default=2, ge=2, le=10, description="2: text of a model trained on the first one's text")


class Lm:
    """Samples of the language model that was trained on the real training split."""

    provenance = Provenance.generated
    settings: type[BaseModel] = LmSettings
    counts_bind = True
    name = "lm"

    def generate(self, request: Request) -> Made:
        """See `contract.Generator`."""
        if request.model is None:
            raise ModelError(f"pool `{request.pool}`: no language model was given", "materialise generator_model first")
        settings = request.settings
        diversity = Diversity(settings.temperature, settings.top_p, settings.prototypes, settings.max_new_tokens)
        texts = sample(
            request.model,
            request.train,
            request.counts,
            diversity,
            request.seed,
            request.work,
            request.model.name,
            progress.reporter(f"sample {request.pool}"),
        )
        return made(texts, self.provenance, self.name)


class Recursive(Lm):
    """Samples of a later generation: a model trained on a model's text."""

    provenance = Provenance.recursive
    settings = RecursiveSettings
    name = "recursive"
