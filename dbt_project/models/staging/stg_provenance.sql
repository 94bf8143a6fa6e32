select
    grade,
    provenance,
    is_synthetic
from {{ launch_file('provenance') }}
