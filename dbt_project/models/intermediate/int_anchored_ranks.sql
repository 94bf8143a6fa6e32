-- the real rows of anchored series. An anchored mixture differs from any other in as few slots as can be: a row keeps the
-- slot it has without anchors, and an anchor from beyond the budget takes that of the last row that is no anchor
with budgets as (
    select distinct
        replicate,
        domain_no,
        rows_available,
        budget
    from {{ ref('int_quotas') }}
    where anchored
),

anchors as (
    select
        labels.domain_no,
        labels.label_no,
        anchors.grade,
        anchors.doc_id
    from {{ ref('stg_anchor_documents') }} as anchors
    inner join {{ ref('int_labels') }} as labels using (domain, label)
),

candidates as (
    select
        budgets.*,
        ranks.label_no,
        ranks.grade,
        ranks.doc_id,
        ranks.slot,
        anchors.doc_id is not null as is_anchor
    from {{ ref('int_real_ranks') }} as ranks
    inner join budgets using (replicate, domain_no)
    left join anchors using (doc_id)
    union all
    -- an anchor that left the corpus comes after all that is in it
    select
        budgets.*,
        anchors.label_no,
        anchors.grade,
        anchors.doc_id,
        budgets.rows_available as slot,
        true as is_anchor
    from anchors
    inner join budgets using (domain_no)
    anti join {{ ref('int_real_ranks') }} as ranks using (doc_id)
),

ranked as (
    select
        *,
        row_number() over (partition by replicate, domain_no order by not is_anchor, slot, doc_id) - 1 as rank
    from candidates
),

-- as many slots are freed as there are anchors beyond the budget
freed as (
    select
        replicate,
        domain_no,
        slot,
        row_number() over (partition by replicate, domain_no order by slot desc) as turn
    from ranked
    where slot < budget and rank >= budget
),

kept as (
    select
        *,
        slot >= budget as is_beyond,
        row_number() over (partition by replicate, domain_no, slot >= budget order by slot, doc_id) as turn
    from ranked
    where rank < budget
)

select
    kept.replicate,
    kept.domain_no,
    kept.label_no,
    kept.grade,
    kept.doc_id,
    cast(kept.rank as integer) as rank,
    cast(case when kept.is_beyond then freed.slot else kept.slot end as integer) as slot
from kept
left join freed
    on
        kept.is_beyond
        and kept.replicate = freed.replicate
        and kept.domain_no = freed.domain_no
        and kept.turn = freed.turn
