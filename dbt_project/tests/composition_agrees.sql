-- depends_on: {{ ref('mixture_composition') }}
with counted as (
    select
        arm,
        replicate,
        domain,
        count(*) filter (is_synthetic) as synthetic,
        count(distinct doc_id) filter (not is_synthetic) as human,
        count(*) filter (not is_synthetic) as human_copies
    from {{ ref('written_documents') }}
    group by all
),

judged as (
    select
        composition.*,
        arms.arm as known_arm,
        arms.rebalance,
        coalesce(counted.synthetic, 0) as synthetic,
        coalesce(counted.human, 0) as human,
        coalesce(counted.human_copies, 0) - coalesce(counted.human, 0) as repeated,
        composition.composition = 'add' as on_top,
        case when composition.composition = 'add' then composition.rows_synthetic else composition.rows_displaced end
            as rows_given,
        case when composition.composition = 'add' then arms.share / (1 - arms.share) else arms.share end as level,
        -- in `add`, a cap c allows c / (1 - c) rows on top of each real one
        case
            when composition.composition <> 'add' then composition.cap
            when composition.cap < 1 then composition.cap / (1 - composition.cap)
        end as cap_level
    from {{ ref('written_composition') }} as composition
    left join counted using (arm, replicate, domain)
    left join {{ ref('stg_arms') }} as arms using (arm)
)

select *
from judged
where
    known_arm is null
    or rows_synthetic <> synthetic
    or rows_real <> human
    or rows_repeated <> repeated
    or abs(rows_asked - level * budget) > 0.5 + 1e-5
    or rows_given + shortfall <> rows_asked + rows_taken_over
    or rows_real + rows_displaced <> budget
    or (on_top and rows_displaced > 0)
    or (composition = 'replace' and rows_synthetic <> rows_displaced)
    or (composition in ('drop', 'repeat') and rows_synthetic > 0)
    or (composition = 'repeat' and rows_real > 0 and rows_repeated <> rows_displaced)
    or (composition <> 'repeat' and rows_repeated > 0)
    or (rows_taken_over <> 0 and not rebalance)
    or (rows_taken_over > 0 and shortfall > 0)
    or shortfall < 0
    or (shortfall > 0) <> (why is not null)
    -- a shortfall is as small as its cause allows
    or (why = 'cap' and rows_given + 1 <= cap_level * budget - 1e-5)
    or (why = 'pool' and rows_given <> pool_available)
    or (why = 'anchors' and rows_real <> rows_anchor)
