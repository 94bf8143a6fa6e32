-- depends_on: {{ ref('mixture_composition') }}
with judged as (
    select
        composition.arm,
        composition.replicate,
        composition.domain,
        composition.budget,
        case when composition.composition = 'add' then composition.rows_synthetic else composition.rows_displaced end
            as rows_given,
        case when composition.composition = 'add' then arms.share / (1 - arms.share) else arms.share end as level,
        -- what limits a domain, in rows; nulls are no limits
        least(
            case
                when composition.composition <> 'add' then composition.cap * composition.budget
                when composition.cap < 1 then composition.cap / (1 - composition.cap) * composition.budget
            end,
            composition.pool_available,
            case when composition.composition <> 'add' then composition.budget - composition.rows_anchor end
        ) as most
    from {{ ref('written_composition') }} as composition
    inner join {{ ref('stg_arms') }} as arms using (arm)
    where arms.rebalance
),

arms as (
    select
        arm,
        replicate,
        sum(rows_given) as rows_given,
        sum(level * budget) as rows_due,
        -- a rounding each, which may be up or down
        0.5 * count(*) + 1e-5 as tolerance,
        count(*) filter (rows_given + 1 <= most - 1e-5) as domains_with_room
    from judged
    group by all
)

select *
from arms
where
    rows_given > rows_due + tolerance
    or (domains_with_room > 0 and rows_given < rows_due - tolerance)
