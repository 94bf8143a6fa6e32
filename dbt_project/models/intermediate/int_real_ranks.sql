with replicates as (
    select distinct
        unnest(range(replicates))::integer as replicate,
        seed
    from {{ ref('stg_arms') }}
),

hashed as (
    select
        replicates.replicate,
        labels.domain_no,
        labels.label_no,
        documents.grade,
        documents.doc_id,
        {{ document_hash('documents.doc_id', 'replicates.replicate', 'replicates.seed') }} as hash
    from {{ ref('stg_real_documents') }} as documents
    inner join {{ ref('int_labels') }} as labels using (domain, label)
    cross join replicates
)

select
    replicate,
    domain_no,
    label_no,
    grade,
    doc_id,
    cast(row_number() over (partition by replicate, domain_no order by hash) - 1 as integer) as slot
from hashed
