-- depends_on: {{ ref('mixture_composition') }}
select *
from read_parquet({{ written_files('mixture_composition') }}, hive_partitioning = false)
