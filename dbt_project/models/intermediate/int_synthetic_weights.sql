{{ config(materialized='view') }}

-- two branches read it: worked out once
with documents as materialized (
    select * from {{ ref('int_synthetic_rows') }}
)

select
    filters.filter_no,
    documents.domain_no,
    documents.label_no,
    documents.grade,
    documents.doc_id,
    1::float as weight
from documents
inner join {{ ref('int_filters') }} as filters using (pool)
where not filters.needs_scores
union all
select
    filters.filter_no,
    documents.domain_no,
    documents.label_no,
    documents.grade,
    documents.doc_id,
    cast(
        -- sizes go by different texts, so a text's own copies count beside them
        power(greatest(scores.cluster_size * scores.exact_copies, 1), -filters.cluster_exponent)
        * case
            when scores.is_templated
                then power(greatest(scores.template_size, 1), -filters.template_exponent)
            else 1
        end
        as float
    ) as weight
from documents
inner join {{ ref('stg_synthetic_scores') }} as scores using (pool, doc_id)
inner join {{ ref('int_filters') }} as filters using (pool)
where
    filters.needs_scores
    and scores.contamination < coalesce(filters.max_contamination, 2)
    and scores.template_share <= coalesce(filters.max_template_share, 1)
