{{ config(partitions='int_quotas', keys=['arm_no', 'domain_no'], folders=['arm_no', 'domain_slug']) }}

with chosen as (
    select
        quotas.arm_no,
        quotas.arm,
        quotas.replicate,
        ranks.domain_no,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.slot,
        1::float as weight
    from {{ ref('int_real_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas
        on ranks.replicate = quotas.replicate and ranks.domain_no = quotas.domain_no
    where ranks.slot < quotas.budget - quotas.rows_displaced
    union all
    -- synthetic rows fill the budget from its end, so a row that two arms keep keeps its slot
    select
        quotas.arm_no,
        quotas.arm,
        quotas.replicate,
        ranks.domain_no,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        cast(quotas.budget - 1 - ranks.rank as integer) as slot,
        ranks.weight
    from {{ ref('int_synthetic_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas
        on
            ranks.filter_no = quotas.filter_no
            and ranks.replicate = quotas.replicate
            and ranks.domain_no = quotas.domain_no
    where ranks.rank < quotas.rows_displaced
)

select
    chosen.arm_no,
    chosen.domain_no,
    chosen.arm,
    chosen.replicate,
    chosen.doc_id,
    labels.domain,
    labels.label,
    provenance.provenance,
    chosen.slot,
    chosen.weight
from chosen
inner join {{ ref('int_labels') }} as labels using (label_no)
inner join {{ ref('stg_provenance') }} as provenance using (grade)
