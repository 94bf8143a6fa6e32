-- few rows that every later query joins
{{ config(materialized='table') }}

select
    arm_no,
    arm,
    series,
    pool,
    share,
    composition,
    strictness,
    obey_caps,
    anchored,
    rebalance,
    budget,
    replicates,
    seed,
    study
from {{ launch_file('arms') }}
