-- depends_on: {{ ref('mixture_documents') }}
with real_rows as (
    select
        domain,
        count(*) as available
    from {{ ref('stg_real_documents') }}
    group by domain
),

counted as (
    select
        arm,
        replicate,
        domain,
        count(*) filter (is_synthetic) as synthetic,
        count(distinct doc_id) filter (not is_synthetic) as human
    from {{ ref('written_documents') }}
    group by all
),

judged as (
    select
        arms.arm,
        replicates.replicate,
        real_rows.domain,
        floor(arms.budget * real_rows.available + 0.5 + 1e-6) as size,
        coalesce(counted.synthetic, 0) as synthetic,
        coalesce(counted.human, 0) as human,
        case when arms.composition = 'add' then coalesce(counted.synthetic, 0) else 0 end as on_top,
        coalesce(
            (select cap from {{ ref('caps') }} where study = arms.study and domain = real_rows.domain),
            (select cap from {{ ref('caps') }} where study = arms.study and domain = '*'),
            1
        ) as cap
    from {{ ref('stg_arms') }} as arms
    cross join real_rows
    cross join (select unnest(range(max(replicates))) as replicate from {{ ref('stg_arms') }}) as replicates
    left join counted
        on
            arms.arm = counted.arm
            and replicates.replicate = counted.replicate
            and real_rows.domain = counted.domain
    where arms.obey_caps
)

-- real rows that are gone count as well: under a cap, `drop` and `repeat` must lose no more of them than `replace` does
select *
from judged
where synthetic > cap * (size + on_top) + 1e-6 or size - human > cap * size + 1e-6
