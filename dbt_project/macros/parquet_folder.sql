{#
  A mart as a folder of Parquet below SMC_MIXING, partitioned in Hive's way, with a view over it.

  dbt-duckdb's own `external` first makes the whole result a table in memory, and writes one row of nulls where it is
  empty. This streams the query to disk and writes nothing where there is nothing. The order of rows in a file means
  nothing: a mixture row says its slot.

  Config:
    partition_by  columns that name folders, outermost first; they stay out of the files
    one_by_one    a model whose rows give the values of the first of these columns (numbers): its folders are then written
                  one after the other, so that memory holds the open files of one of them only
#}
{% materialization parquet_folder, adapter='duckdb' %}
  {%- set target = this.incorporate(type='view') -%}
  {%- set folder = folder_from('SMC_MIXING') ~ '/' ~ model['name'] -%}
  {%- set partition_by = config.require('partition_by') -%}
  {%- set one_by_one = config.get('one_by_one') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {%- set options = '(format parquet, compression zstd, compression_level 1, overwrite true, partition_by (' -%}
  {% if one_by_one %}
    {%- set first, rest = partition_by[0], partition_by[1:] -%}
    {%- for row in run_query('select distinct ' ~ first ~ ' from ' ~ ref(one_by_one) ~ ' order by all').rows %}
      {% call statement('write') -%}
        copy (select * exclude ({{ first }}) from ({{ sql }}) where {{ first }} = {{ row[0] | int }})
        to {{ literal(folder ~ '/' ~ first ~ '=' ~ row[0] | int) }} {{ options }}{{ rest | join(', ') }}))
      {%- endcall %}
    {% endfor %}
  {% else %}
    {% call statement('write') -%}
      copy ({{ sql }}) to {{ literal(folder) }} {{ options }}{{ partition_by | join(', ') }}))
    {%- endcall %}
  {% endif %}

  {%- set files = run_query('select count(*) from glob(' ~ written_files(model['name']) ~ ')').rows[0][0] -%}
  {% call statement('main') -%}
    create or replace view {{ target }} as
    {% if files > 0 -%}
      select * from read_parquet({{ written_files(model['name']) }}, hive_partitioning = false)
    {%- else -%}
      select * exclude ({{ partition_by | join(', ') }}) from ({{ sql }}) where false
    {%- endif %}
  {%- endcall %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
