-- depends_on: {{ ref('mixture_documents') }}
select
    written.arm,
    written.replicate,
    written.doc_id,
    scores.contamination
from {{ ref('written_documents') }} as written
left join {{ ref('stg_synthetic_scores') }} as scores using (pool, doc_id)
where
    written.is_synthetic
    and written.strictness <> 'off'
    and (scores.contamination is null or scores.contamination >= 0.8)
