-- few rows that every later query joins
{{ config(materialized='table') }}

select
    domain_no,
    domain,
    domain_slug
from {{ launch_file('domains') }}
