-- depends_on: {{ ref('mixture_documents') }}
with steps as (
    select
        series,
        share,
        row_number() over (partition by series order by share) as step,
        count(*) over (partition by series) as last_step
    from {{ ref('stg_arms') }}
),

-- a document that is in `n` arms of a series, the furthest (or nearest) of them being step k, is in an unbroken run of
-- arms from 0 % up (or from the highest share down) exactly where n = k (or n = last - k + 1)
by_slot as (
    select
        written.series,
        written.replicate,
        written.is_synthetic,
        written.domain,
        written.doc_id,
        written.slot,
        count(*) as arms,
        min(steps.step) as nearest,
        max(steps.step) as furthest,
        max(steps.last_step) as last_step
    from {{ ref('written_documents') }} as written
    inner join steps using (series, share)
    group by all
),

-- copies come and go, but a document has one slot that it keeps while it is there
found as (
    select
        series,
        replicate,
        is_synthetic,
        domain,
        doc_id,
        max(arms) as arms,
        min(nearest) as nearest,
        max(furthest) as furthest,
        max(last_step) as last_step
    from by_slot
    group by all
)

select *
from found
where
    (not is_synthetic and arms <> furthest)
    or (is_synthetic and arms <> last_step - nearest + 1)
