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
    rows_synthetic,
    rows_real,
    rows_repeated,
    rows_anchor,
    rows_taken_over,
    shortfall,
    why
from {{ ref('int_quotas') }}
