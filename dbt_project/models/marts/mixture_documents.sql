{{ config(partitions='int_quotas', keys=['arm_no', 'domain_no'], folders=['arm_no', 'domain_slug']) }}

-- one partition is read at a time: its keys must reach the tables below, though two branches read this
with kept as not materialized (
    select
        quotas.arm_no,
        quotas.arm,
        quotas.replicate,
        quotas.domain_no,
        quotas.budget,
        quotas.rows_real,
        quotas.rows_repeated,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.slot as rank,
        ranks.slot,
        quotas.anchored
    from {{ ref('int_real_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas
        on ranks.replicate = quotas.replicate and ranks.domain_no = quotas.domain_no
    where not quotas.anchored and ranks.slot < quotas.rows_real
    union all
    select
        quotas.arm_no,
        quotas.arm,
        quotas.replicate,
        quotas.domain_no,
        quotas.budget,
        quotas.rows_real,
        quotas.rows_repeated,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.rank,
        ranks.slot,
        quotas.anchored
    from {{ ref('int_anchored_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas
        on ranks.replicate = quotas.replicate and ranks.domain_no = quotas.domain_no
    where quotas.anchored and ranks.rank < quotas.rows_real
),

-- what fills the places that real rows left, the last to stay first: whatever comes in its turn has the same place in
-- every arm, so a row that two arms keep keeps its slot
incoming as (
    select
        arm_no,
        arm,
        replicate,
        domain_no,
        label_no,
        grade,
        doc_id,
        1::float as weight,
        budget - 1 - unnest(range(rank, rows_repeated, rows_real)) as rank,
        anchored
    from kept
    where rows_repeated > rank
    union all
    select
        quotas.arm_no,
        quotas.arm,
        quotas.replicate,
        ranks.domain_no,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.weight,
        -- on top of all real rows, or in the place of the last
        case when quotas.composition = 'add' then quotas.budget + ranks.rank else quotas.budget - 1 - ranks.rank end
            as rank,
        quotas.anchored
    from {{ ref('int_synthetic_ranks') }} as ranks
    inner join {{ ref('int_quotas') }} as quotas
        on
            ranks.filter_no = quotas.filter_no
            and ranks.replicate = quotas.replicate
            and ranks.domain_no = quotas.domain_no
    where ranks.rank < quotas.rows_synthetic
),

chosen as (
    select
        arm_no,
        arm,
        replicate,
        domain_no,
        label_no,
        grade,
        doc_id,
        slot,
        1::float as weight
    from kept
    union all
    select
        incoming.arm_no,
        incoming.arm,
        incoming.replicate,
        incoming.domain_no,
        incoming.label_no,
        incoming.grade,
        incoming.doc_id,
        cast(coalesce(places.slot, incoming.rank) as integer) as slot,
        incoming.weight
    from incoming
    -- without anchors a row's rank is its slot
    left join {{ ref('int_anchored_ranks') }} as places
        on
            incoming.anchored
            and incoming.replicate = places.replicate
            and incoming.domain_no = places.domain_no
            and incoming.rank = places.rank
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
