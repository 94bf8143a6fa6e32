-- depends_on: {{ ref('mixture_documents') }}
with copies as (
    select
        arm,
        replicate,
        domain,
        composition,
        doc_id,
        count(*) as copies
    from {{ ref('written_documents') }}
    group by all
)

select
    arm,
    replicate,
    domain,
    min(copies) as fewest,
    max(copies) as most
from copies
group by arm, replicate, domain, composition
having
    max(copies) > min(copies) + 1
    or (composition <> 'repeat' and max(copies) > 1)
