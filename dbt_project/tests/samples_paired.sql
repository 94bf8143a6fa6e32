-- depends_on: {{ ref('mixture_documents') }}
with real_rows as (
    select
        *,
        row_number() over (partition by arm, replicate, domain, doc_id order by slot) as copy
    from {{ ref('written_documents') }}
    where
        not is_synthetic
        -- there a copy may lie before the row itself
        and not (anchored and composition = 'repeat')
),

kept as (
    select
        arm,
        replicate,
        domain,
        anchored,
        count(*) as rows,
        -- the sum of a hash over rows is the same for the same set of rows and, in one query, for no other
        sum(hash(doc_id, slot)) as fingerprint
    from real_rows
    where copy = 1
    group by all
)

select
    replicate,
    domain,
    anchored,
    rows,
    list(arm order by arm) as arms
from kept
group by replicate, domain, anchored, rows
having count(distinct fingerprint) > 1
