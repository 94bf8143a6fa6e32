-- what lies on disk, whichever process wrote it: the data tests judge this, not the query that made it
select
    written.*,
    arms.series,
    arms.share,
    arms.composition,
    arms.pool,
    arms.strictness,
    arms.anchored,
    provenance.is_synthetic
from {{ written(ref('mixture_documents')) }} as written
left join {{ ref('stg_arms') }} as arms using (arm)
left join {{ ref('stg_provenance') }} as provenance using (provenance)
