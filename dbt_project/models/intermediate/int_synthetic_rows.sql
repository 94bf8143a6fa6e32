{{ config(materialized='view') }}

select
    documents.pool,
    labels.domain_no,
    labels.label_no,
    documents.grade,
    documents.doc_id
from {{ ref('stg_synthetic_documents') }} as documents
inner join {{ ref('int_labels') }} as labels using (domain, label)
-- an evaluation document itself never enters, whatever the strictness
anti join {{ ref('stg_evaluation_documents') }} as evaluation using (doc_id)
