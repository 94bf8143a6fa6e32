with real_rows as (
    select
        domains.domain_no,
        domains.domain,
        domains.domain_slug,
        count(*) as rows_available
    from {{ ref('stg_real_documents') }} as documents
    inner join {{ ref('stg_domains') }} as domains using (domain)
    group by all
),

pool_rows as (
    select
        filter_no,
        domain_no,
        count(*) as pool_available
    from {{ ref('int_synthetic_ranks') }}
    where replicate = 0
    group by all
),

limits as (
    select
        arms.*,
        filters.filter_no,
        real_rows.*,
        {{ half_up('arms.budget * real_rows.rows_available') }} as rows_budget,
        case when arms.obey_caps then coalesce(own.cap, every.cap, 1) else 1 end::double as cap,
        case when arms.composition <> 'drop' then coalesce(pool_rows.pool_available, 0) end as pool_available
    from {{ ref('stg_arms') }} as arms
    cross join real_rows
    left join {{ ref('int_filters') }} as filters
        on arms.pool = filters.pool and arms.strictness = filters.strictness
    left join pool_rows
        on filters.filter_no = pool_rows.filter_no and real_rows.domain_no = pool_rows.domain_no
    left join {{ ref('caps') }} as own
        on arms.study = own.study and real_rows.domain = own.domain
    left join {{ ref('caps') }} as every
        on arms.study = every.study and every.domain = '*'
),

asked as (
    select
        *,
        {{ half_up('share * rows_budget') }} as rows_asked,
        {{ round_down('cap * rows_budget') }} as rows_capped
    from limits
)

select
    arm_no,
    arm,
    series,
    pool,
    share,
    composition,
    strictness,
    filter_no,
    unnest(range(replicates))::integer as replicate,
    domain_no,
    domain,
    domain_slug,
    rows_available,
    rows_budget as budget,
    cap,
    pool_available,
    rows_asked,
    least(rows_asked, rows_capped, pool_available) as rows_displaced,
    case
        when rows_asked <= least(rows_capped, pool_available) then null
        when rows_capped <= coalesce(pool_available, rows_capped) then 'cap'
        else 'pool'
    end as why
from asked
