{{ config(partition_by=['arm_no', 'domain_slug'], one_by_one='stg_arms') }}

with chosen as (
    select
        quotas.arm_no,
        quotas.replicate,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.slot,
        1::float as weight
    from {{ ref('int_real_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas using (replicate, domain_no)
    where ranks.slot < quotas.budget - quotas.rows_displaced
    union all
    -- synthetic rows fill the budget from its end, so a row that two arms keep keeps its slot
    select
        quotas.arm_no,
        quotas.replicate,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        cast(quotas.budget - 1 - ranks.rank as integer) as slot,
        ranks.weight
    from {{ ref('int_synthetic_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas using (filter_no, replicate, domain_no)
    where ranks.rank < quotas.rows_displaced
)

select
    chosen.arm_no,
    labels.domain_slug,
    arms.arm,
    chosen.replicate,
    chosen.doc_id,
    labels.domain,
    labels.label,
    provenance.provenance,
    chosen.slot,
    chosen.weight
from chosen
inner join {{ ref('int_labels') }} as labels using (label_no)
inner join {{ ref('stg_arms') }} as arms using (arm_no)
inner join {{ ref('stg_provenance') }} as provenance using (grade)
