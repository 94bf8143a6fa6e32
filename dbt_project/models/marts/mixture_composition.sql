{{ config(partitions='int_quotas', keys=['arm_no'], folders=['arm_no']) }}

select
    arm_no,
    arm,
    series,
    pool,
    share,
    composition,
    strictness,
    replicate,
    domain,
    rows_available,
    budget,
    cap,
    pool_available,
    rows_asked,
    rows_displaced,
    case when composition = 'drop' then 0 else rows_displaced end as rows_synthetic,
    budget - rows_displaced as rows_real,
    rows_asked - rows_displaced as shortfall,
    why
from {{ ref('int_quotas') }}
