select
    doc_id,
    split
from {{ lake_file('real_documents') }}
where split in ('test', 'anchor_eval')
