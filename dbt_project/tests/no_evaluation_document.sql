-- depends_on: {{ ref('mixture_documents') }}
select
    written.arm,
    written.replicate,
    written.doc_id,
    evaluation.split
from {{ ref('written_documents') }} as written
inner join {{ ref('stg_evaluation_documents') }} as evaluation using (doc_id)
