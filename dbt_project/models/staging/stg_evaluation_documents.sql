with held_out as (
    select
        doc_id,
        split
    from {{ lake_file('real_documents') }}
    where split in ('test', 'anchor_eval')
),

-- a document may be in two slices
frozen as (
    select
        doc_id,
        min(slice) as split
    from {{ launch_file('anchors') }}
    where slice <> 'anchor_train'
    group by doc_id
)

select * from held_out
union all
select * from frozen
anti join held_out using (doc_id)
