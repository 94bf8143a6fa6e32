-- few rows that every later query joins
{{ config(materialized='table') }}

select
    grade,
    provenance,
    is_synthetic
from {{ launch_file('provenance') }}
