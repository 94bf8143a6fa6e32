-- depends_on: {{ ref('mixture_documents') }}
with kept as (
    select
        arm,
        replicate,
        domain,
        count(*) as rows,
        -- the sum of a hash over rows is the same for the same set of rows and, in one query, for no other
        sum(hash(doc_id, slot)) as fingerprint
    from {{ ref('written_documents') }}
    where not is_synthetic
    group by all
)

select
    replicate,
    domain,
    rows,
    list(arm order by arm) as arms
from kept
group by replicate, domain, rows
having count(distinct fingerprint) > 1
