-- weighted sampling without replacement (Efraimidis and Spirakis 2006): the rows of the smallest -ln(u) / weight
with replicates as (
    select distinct
        unnest(range(replicates))::integer as replicate,
        seed
    from {{ ref('stg_arms') }}
),

hashed as (
    select
        replicates.replicate,
        weights.*,
        {{ document_hash('weights.doc_id', 'replicates.replicate', 'replicates.seed') }} as hash
    from {{ ref('int_synthetic_weights') }} as weights
    cross join replicates
)

select
    filter_no,
    replicate,
    domain_no,
    label_no,
    grade,
    doc_id,
    weight,
    cast(
        row_number() over (
            partition by filter_no, replicate, domain_no
            order by -ln({{ uniform('hash') }}) / weight, hash
        ) - 1 as integer
    ) as rank
from hashed
