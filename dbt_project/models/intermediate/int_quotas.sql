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

anchor_rows as (
    select
        labels.domain_no,
        count(*) as rows_anchor
    from {{ ref('stg_anchor_documents') }} as anchors
    inner join {{ ref('int_labels') }} as labels using (domain, label)
    group by all
),

limits as (
    select
        arms.*,
        filters.filter_no,
        real_rows.*,
        {{ half_up('arms.budget * real_rows.rows_available') }} as rows_budget,
        case when arms.anchored then coalesce(anchor_rows.rows_anchor, 0) else 0 end as rows_anchor,
        case when arms.obey_caps then coalesce(own.cap, every.cap, 1) else 1 end::double as cap,
        case when arms.composition in ('replace', 'add') then coalesce(pool_rows.pool_available, 0) end
            as pool_available,
        -- rows that the share asks for, to each row of the budget: on top, s / (1 - s) of them make a share of s
        case when arms.composition = 'add' then arms.share / (1 - arms.share) else arms.share end as level
    from {{ ref('stg_arms') }} as arms
    cross join real_rows
    left join {{ ref('int_filters') }} as filters
        on arms.pool = filters.pool and arms.strictness = filters.strictness
    left join pool_rows
        on filters.filter_no = pool_rows.filter_no and real_rows.domain_no = pool_rows.domain_no
    left join anchor_rows
        on real_rows.domain_no = anchor_rows.domain_no
    left join {{ ref('caps') }} as own
        on arms.study = own.study and real_rows.domain = own.domain
    left join {{ ref('caps') }} as every
        on arms.study = every.study and every.domain = '*'
),

bounds as (
    select
        *,
        {{ half_up('level * rows_budget') }} as rows_asked,
        case
            when composition <> 'add' then {{ round_down('cap * rows_budget') }}
            when cap < 1 then {{ round_down('cap / (1 - cap) * rows_budget') }}
        end as rows_capped,
        case when composition <> 'add' then rows_budget - rows_anchor end as rows_free
    from limits
),

most as (
    select
        *,
        -- nulls, which are no limits, do not count
        least(rows_capped, pool_available, rows_free) as rows_most
    from bounds
),

-- the level to which the domains that can must go, so that all together have the share: those with the least to give are
-- full first, and what they cannot give, the rest give. The highest of these levels is the one at which that adds up
levels as (
    select
        *,
        (
            level * sum(rows_budget) over arm
            - coalesce(sum(rows_most) over fuller, 0)
        ) / (sum(rows_budget) over arm - coalesce(sum(rows_budget) over fuller, 0)) as level_of_rest
    from most
    where rebalance and rows_budget > 0
    window
        arm as (partition by arm_no),
        fuller as (
            partition by arm_no order by rows_most / rows_budget, domain_no
            rows between unbounded preceding and 1 preceding
        )
),

shared_out as (
    select
        arm_no,
        max(level_of_rest) as level_shared_out
    from levels
    group by arm_no
),

given as (
    select
        most.*,
        least({{ half_up('greatest(level, coalesce(level_shared_out, 0)) * rows_budget') }}, rows_most) as rows_given,
        greatest(rows_asked - rows_most, 0) as shortfall
    from most
    left join shared_out using (arm_no)
)

select
    arm_no,
    arm,
    series,
    pool,
    share,
    composition,
    strictness,
    anchored,
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
    case when composition = 'add' then 0 else rows_given end as rows_displaced,
    case when composition in ('replace', 'add') then rows_given else 0 end as rows_synthetic,
    case when composition = 'add' then rows_budget else rows_budget - rows_given end as rows_real,
    -- a domain without a row left has none to repeat
    case when composition = 'repeat' and rows_given < rows_budget then rows_given else 0 end as rows_repeated,
    rows_anchor,
    rows_given - (rows_asked - shortfall) as rows_taken_over,
    shortfall,
    case
        when shortfall = 0 then null
        when rows_capped = rows_most then 'cap'
        when pool_available = rows_most then 'pool'
        else 'anchors'
    end as why
from given
