-- what was frozen may be held out since (held out wins), and its label may have left the corpus: then no head knows it
select
    anchors.doc_id,
    anchors.domain,
    anchors.label,
    provenance.grade
from {{ launch_file('anchors') }} as anchors
inner join {{ ref('stg_provenance') }} as provenance using (provenance)
anti join (
    select doc_id from {{ lake_file('real_documents') }} where split <> 'train'
) as held_out using (doc_id)
semi join {{ ref('stg_real_documents') }} as trained using (domain, label)
where anchors.slice = 'anchor_train' and not provenance.is_synthetic
