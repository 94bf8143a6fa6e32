select
    documents.doc_id,
    documents.domain,
    documents.label,
    provenance.grade
from {{ lake_file('real_documents') }} as documents
inner join {{ ref('stg_provenance') }} as provenance using (provenance)
where documents.split = 'train' and not provenance.is_synthetic
