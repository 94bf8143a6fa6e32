{# Where a launch reads and writes. Paths come from the environment, so none is in a manifest, and are escaped here. #}

{% macro literal(text) %}
  {{- return("'" ~ (text | string).replace("'", "''") ~ "'") -}}
{% endmacro %}

{% macro folder_from(variable) %}
  {%- set folder = env_var(variable, 'unset') -%}
  {%- if execute and folder == 'unset' -%}
    {{ exceptions.raise_compiler_error(variable ~ " is not set: launch dbt through `smc study run` or Dagster, or set it as smc_dagster/mixing/launch.py does") }}
  {%- endif -%}
  {{- return(folder) -}}
{% endmacro %}

{# A path as SQL text in which DuckDB sees no wildcard but those in `pattern`. #}
{% macro path_literal(folder, pattern='') %}
  {%- set exact = folder.replace('[', '[[]').replace('*', '[*]').replace('?', '[?]') -%}
  {{- return(literal(exact ~ pattern)) -}}
{% endmacro %}

{% macro lake_file(table) %}
  {{- return('read_parquet(' ~ path_literal(folder_from('SMC_LAKE') ~ '/' ~ table ~ '/data.parquet') ~ ', hive_partitioning = false)') -}}
{% endmacro %}

{% macro launch_file(name) %}
  {{- return('read_parquet(' ~ path_literal(folder_from('SMC_MIXING') ~ '/' ~ name ~ '.parquet') ~ ', hive_partitioning = false)') -}}
{% endmacro %}

{# The files of a table of pools, for the pools that the arms of this launch draw from; none where no arm draws. #}
{% macro pool_files(table) %}
  {%- set files = [] -%}
  {%- set lake = folder_from('SMC_LAKE') -%}
  {%- if execute -%}
    {%- set pools = run_query('select distinct pool from ' ~ launch_file('arms') ~ ' where pool is not null order by pool') -%}
    {%- for row in pools.rows -%}
      {%- do files.append(path_literal(lake ~ '/' ~ table ~ '/pool=' ~ row[0] ~ '/data.parquet')) -%}
    {%- endfor -%}
  {%- endif -%}
  {{- return(files) -}}
{% endmacro %}

{# What a mart wrote, wherever below its folder. #}
{% macro written_files(table) %}
  {{- return(path_literal(folder_from('SMC_MIXING') ~ '/' ~ table, '/**/*.parquet')) -}}
{% endmacro %}

{# A mart read back from disk: true of another process's output too. The relation stands in where there is no file. #}
{% macro written(relation) %}
  {%- set files = written_files(relation.identifier) -%}
  {%- if execute and run_query('select count(*) from glob(' ~ files ~ ')').rows[0][0] == 0 -%}
    {{- return('(select * from ' ~ relation ~ ' where false)') -}}
  {%- endif -%}
  {{- return('read_parquet(' ~ files ~ ', hive_partitioning = false)') -}}
{% endmacro %}
