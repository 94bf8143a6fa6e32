-- depends_on: {{ ref('mixture_composition') }}
with counted as (
    select
        arm,
        replicate,
        domain,
        count(*) filter (is_synthetic) as synthetic,
        count(*) filter (not is_synthetic) as human
    from {{ ref('written_documents') }}
    group by all
)

select
    composition.*,
    counted.synthetic,
    counted.human
from {{ ref('written_composition') }} as composition
left join counted using (arm, replicate, domain)
left join {{ ref('stg_arms') }} as arms using (arm)
where
    arms.arm is null
    or composition.rows_synthetic <> coalesce(counted.synthetic, 0)
    or composition.rows_real <> coalesce(counted.human, 0)
    or abs(composition.rows_asked - arms.share * composition.budget) > 0.5 + 1e-5
    or composition.rows_displaced + composition.shortfall <> composition.rows_asked
    or composition.rows_real + composition.rows_displaced <> composition.budget
    or (composition.shortfall > 0) <> (composition.why is not null)
    -- a shortfall is as small as its cause allows
    or (composition.why = 'cap' and composition.rows_displaced + 1 <= composition.cap * composition.budget - 1e-5)
    or (composition.why = 'pool' and composition.rows_displaced <> composition.pool_available)
