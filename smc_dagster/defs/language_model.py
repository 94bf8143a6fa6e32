"""The asset `generator_model`: every generation of the language model that the study's pools draw on.

What belongs here: the Dagster side of synthesis/language_model/. What does not: training or sampling.
"""

import shutil
from collections.abc import Callable

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster import places, progress
from smc_dagster.defs import metadata
from smc_dagster.defs.resources import StudyResource
from smc_dagster.findings.plots import png_training_curves
from smc_dagster.lineage import CODE_VERSIONS
from smc_dagster.study import Study
from smc_dagster.synthesis.language_model import store
from smc_dagster.synthesis.language_model.generations import Generation, first_texts, make_generation, next_texts, read
from smc_dagster.synthesis.streams import seed_of
from smc_dagster.tables import GENERATOR_CURVES, TRAINING_SPLITS
from smc_dagster.workbench import Workbench

GROUP = "synthesis"


def assets(study: Study) -> list[dg.AssetsDefinition]:
    """The asset, where a pool of the study draws on it; else none."""
    if not study.generations:
        return []

    @dg.asset(
        group_name=GROUP,
        deps=["real_documents"],
        kinds={"pytorch", "huggingface"},
        owners=metadata.OWNERS,
        code_version=CODE_VERSIONS["generator_model"],
        pool="training",
    )
    def generator_model(context: dg.AssetExecutionContext, smc: StudyResource) -> dg.MaterializeResult:
        """The causal language model trained on the real training split, and its later generations, each trained on what
        the one before says."""
        bench = smc.open()
        made = [generation(bench, number, context.log.info) for number in range(study.generations)]
        rows = [(number, step, loss) for number, one in enumerate(made) for step, loss in one.curve]
        columns = [list(column) for column in zip(*rows, strict=True)]
        # written last: it tells that all generations are whole
        curves = pa.table(columns, schema=GENERATOR_CURVES.schema)
        bench.lake.write(GENERATOR_CURVES, curves, bench.lineage.due("generator_model"))
        # all is in the lake: what an interrupted run would have gone on with is no longer needed
        shutil.rmtree(places.work_folder(bench.study.name) / "generator_model", ignore_errors=True)
        facts = [{"generation": number, **one.facts} for number, one in enumerate(made)]
        names = list(dict.fromkeys(name for one in facts for name in one))
        return dg.MaterializeResult(
            metadata={
                "fingerprint": bench.lineage.due("generator_model").digest,
                "path": dg.MetadataValue.path(bench.lake.place("generator_model")),
                "generations": metadata.records([{name: one.get(name) for name in names} for one in facts]),
                "training_curve": metadata.plot(
                    png_training_curves(rows, "generation", "a token"), "loss of a token by step"
                ),
            },
            data_version=metadata.version(bench, "generator_curves"),
        )

    return [generator_model]


def generation(bench: Workbench, number: int, tell: Callable[[str], None]) -> Generation:
    """A generation as the study asks for it: the lake's where it is that, else made and published."""
    due = bench.lineage.due("generator_model", str(number))
    work = places.work_folder(bench.study.name) / "generator_model" / f"generation={number}"
    if store.digest(bench.lake, number) == due.digest:
        return read(store.fetch(bench.lake, number, due.digest, work))
    real = bench.read("real_documents", columns=["label", "text", "split"])
    texts = first_texts(real.filter(pc.is_in(real["split"], value_set=pa.array(TRAINING_SPLITS))))
    section = bench.study.language_model
    if number:
        before = bench.lineage.due("generator_model", str(number - 1)).digest
        folder = store.fetch(bench.lake, number - 1, before, work)
        texts = next_texts(folder, texts, section, bench.study.seed, work / "texts", before)
    made = make_generation(
        texts,
        first_texts(real.filter(pc.equal(real["split"], "validation"))),
        section,
        seed_of(bench.study.seed, "language_model", str(number)),
        work,
        due.digest,
        progress.reporter(f"language model {number}"),
    )
    store.publish(bench.lake, number, made.folder, due)
    tell(f"generation {number}: {made.facts}")
    return made
