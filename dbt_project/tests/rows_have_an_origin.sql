-- depends_on: {{ ref('mixture_documents') }}
select
    written.arm,
    written.replicate,
    written.doc_id
from {{ ref('written_documents') }} as written
left join {{ ref('stg_real_documents') }} as human
    on not written.is_synthetic and written.doc_id = human.doc_id
-- an anchor may have left the corpus
left join {{ ref('stg_anchor_documents') }} as anchors
    on not written.is_synthetic and written.anchored and written.doc_id = anchors.doc_id
left join {{ ref('stg_synthetic_documents') }} as made
    on written.is_synthetic and written.pool = made.pool and written.doc_id = made.doc_id
where
    coalesce(human.domain, anchors.domain, made.domain) is distinct from written.domain
    or coalesce(human.label, anchors.label, made.label) is distinct from written.label
