-- depends_on: {{ ref('mixture_documents') }}
with due as (
    select
        arms.arm,
        replicates.replicate,
        anchors.doc_id
    from {{ ref('stg_arms') }} as arms
    cross join (select unnest(range(max(replicates))) as replicate from {{ ref('stg_arms') }}) as replicates
    cross join {{ ref('stg_anchor_documents') }} as anchors
    where arms.anchored
)

select due.*
from due
anti join {{ ref('written_documents') }} as written using (arm, replicate, doc_id)
