with asked as (
    select distinct pool, strictness from {{ ref('stg_arms') }} where pool is not null
)

select
    cast(row_number() over (order by asked.pool, asked.strictness) as integer) as filter_no,
    asked.pool,
    asked.strictness,
    limits.max_contamination::float as max_contamination,
    limits.cluster_exponent,
    limits.template_exponent,
    limits.max_template_share::float as max_template_share,
    (
        limits.max_contamination is not null
        or limits.max_template_share is not null
        or limits.cluster_exponent > 0
        or limits.template_exponent > 0
    ) as needs_scores
from asked
inner join {{ ref('strictness') }} as limits using (strictness)
