{% set files = pool_files('synthetic_scores') -%}
{% if files -%}
select
    pool,
    doc_id,
    coalesce(cluster_size, 1) as cluster_size,
    coalesce(exact_copies, 1) as exact_copies,
    template_id is not null as is_templated,
    coalesce(template_size, 1) as template_size,
    coalesce(template_share, 0)::float as template_share,
    -- what was not measured counts as contaminated
    coalesce(contamination, 1)::float as contamination
from read_parquet([{{ files | join(', ') }}], hive_partitioning = false)
{%- else -%}
select
    null::varchar as pool,
    null::varchar as doc_id,
    null::integer as cluster_size,
    null::integer as exact_copies,
    null::boolean as is_templated,
    null::integer as template_size,
    null::float as template_share,
    null::float as contamination
where false
{%- endif %}
