select
    domain_no,
    domain,
    domain_slug
from {{ launch_file('domains') }}
