-- depends_on: {{ ref('mixture_documents') }}
with real_rows as (
    select
        domain,
        count(*) as available
    from {{ ref('stg_real_documents') }}
    group by domain
),

due as (
    select
        arms.arm,
        replicates.replicate,
        real_rows.domain,
        -- the budget is a whole number next to budget * available ...
        abs(composition.budget - arms.budget * real_rows.available) <= 0.5 + 1e-5 as is_budget_right,
        case
            when arms.composition = 'drop' then composition.budget - composition.rows_displaced
            -- nothing can be repeated where nothing is left
            when arms.composition = 'repeat' and composition.rows_displaced = composition.budget then 0
            when arms.composition = 'add' then composition.budget + composition.rows_synthetic
            else composition.budget
        end as slots,
        -- what leaves around the anchors leaves gaps
        case when arms.composition = 'drop' and arms.anchored then composition.budget end as slots_with_gaps
    from {{ ref('stg_arms') }} as arms
    cross join real_rows
    cross join (select unnest(range(max(replicates))) as replicate from {{ ref('stg_arms') }}) as replicates
    left join {{ ref('written_composition') }} as composition
        on
            arms.arm = composition.arm
            and replicates.replicate = composition.replicate
            and real_rows.domain = composition.domain
),

counted as (
    select
        arm,
        replicate,
        domain,
        count(*) as rows,
        count(distinct slot) as slots,
        min(slot) as first_slot,
        max(slot) as last_slot
    from {{ ref('written_documents') }}
    group by all
)

select
    due.*,
    counted.* exclude (arm, replicate, domain)
from due
left join counted using (arm, replicate, domain)
where
    due.slots is null
    or not due.is_budget_right
    or coalesce(counted.rows, 0) <> due.slots
    or coalesce(counted.slots, 0) <> due.slots
    or counted.first_slot < 0
    or (due.slots_with_gaps is null and coalesce(counted.last_slot, -1) <> due.slots - 1)
    or counted.last_slot >= due.slots_with_gaps
union all
-- ... and no row belongs to an arm, replicate or domain that was not asked
select
    counted.arm,
    counted.replicate,
    counted.domain,
    null as is_budget_right,
    null as slots,
    null as slots_with_gaps,
    counted.* exclude (arm, replicate, domain)
from counted
anti join due using (arm, replicate, domain)
