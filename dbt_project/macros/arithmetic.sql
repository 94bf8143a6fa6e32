{# One rounding for all counts of rows. The tolerance mends products like 0.29 * 100 = 28.999999999999996. #}

{% macro half_up(expression) %}cast(floor({{ expression }} + 0.5 + 1e-6) as bigint){% endmacro %}

{% macro round_down(expression) %}cast(floor({{ expression }} + 1e-6) as bigint){% endmacro %}

{# 128 bits that depend on the document, the replicate and the study's seed alone. md5 is the same in every version of
   every database; DuckDB's own hash() promises no such thing. #}
{% macro document_hash(doc_id, replicate, seed) %}md5_number({{ doc_id }} || '|' || {{ replicate }} || '|' || {{ seed }}){% endmacro %}

{# The hash as a number strictly between 0 and 1. #}
{% macro uniform(hash) %}((cast({{ hash }} as double) + 1) / 340282366920938463463374607431768211456::double){% endmacro %}
