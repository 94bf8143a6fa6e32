select *
from {{ written(ref('mixture_composition')) }} as written
