-- numbers stand for names until the very end: sorting and joining millions of rows by them is far cheaper
with pairs as (
    select domain, label from {{ ref('stg_real_documents') }}
    union
    select domain, label from {{ ref('stg_synthetic_documents') }}
)

select
    cast(row_number() over (order by pairs.domain, pairs.label) as integer) as label_no,
    pairs.label,
    domains.domain_no,
    domains.domain,
    domains.domain_slug
from pairs
-- a pool's domain without real training rows has no budget, hence no place in any mixture
inner join {{ ref('stg_domains') }} as domains using (domain)
