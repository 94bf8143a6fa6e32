{% set files = pool_files('synthetic_documents') -%}
{% if files -%}
select
    documents.pool,
    documents.doc_id,
    documents.domain,
    documents.label,
    provenance.grade
from read_parquet([{{ files | join(', ') }}], hive_partitioning = false) as documents
inner join {{ ref('stg_provenance') }} as provenance using (provenance)
where provenance.is_synthetic
{%- else -%}
select
    null::varchar as pool,
    null::varchar as doc_id,
    null::varchar as domain,
    null::varchar as label,
    grade
from {{ ref('stg_provenance') }}
where false
{%- endif %}
