{#
  A mart as Parquet below SMC_MIXING, one file a partition in a folder of its own, with a view over them.

  dbt-duckdb's own `external` first makes the whole result a table in memory, and writes one row of nulls where it is
  empty. This writes one partition after the other in little memory, at less than half the cost of DuckDB's partitioned
  COPY, and no file where there are no rows. The folders are made by the launch, as DuckDB makes none for a single file.
  The order of rows in a file means nothing: a mixture row says its slot.

  Config:
    partitions  model whose rows say which partitions there are
    keys        columns of it and of the mart that pick a partition: numbers, so that DuckDB can skip the rest
    folders     columns of it that name the folders, outermost first
#}
{% materialization parquet_folder, adapter='duckdb' %}
  {%- set target = this.incorporate(type='view') -%}
  {%- set folder = folder_from('SMC_MIXING') ~ '/' ~ model['name'] -%}
  {%- set keys = config.require('keys') -%}
  {%- set folders = config.require('folders') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {%- set names = (keys + folders) | unique | join(', ') -%}
  {%- set partitions = 'select distinct ' ~ names ~ ' from ' ~ ref(config.require('partitions')) ~ ' order by all' -%}
  {%- for row in run_query(partitions).rows %}
    {%- set values = row.dict() -%}
    {%- set path = namespace(text=folder) -%}
    {%- for name in folders %}{% set path.text = path.text ~ '/' ~ name ~ '=' ~ values[name] %}{% endfor -%}
    {% call statement('write') -%}
      copy (
        select * exclude ({{ keys | join(', ') }})
        from ({{ sql }})
        where {% for key in keys %}{{ key }} = {{ values[key] | int }}{{ ' and ' if not loop.last }}{% endfor %}
      )
      to {{ literal(path.text ~ '/data.parquet') }}
      (format parquet, compression zstd, compression_level 1, write_empty_file false)
    {%- endcall %}
  {%- endfor %}

  {%- set files = run_query('select count(*) from glob(' ~ written_files(model['name']) ~ ')').rows[0][0] -%}
  {% call statement('main') -%}
    create or replace view {{ target }} as
    {% if files > 0 -%}
      select * from read_parquet({{ written_files(model['name']) }}, hive_partitioning = false)
    {%- else -%}
      select * exclude ({{ keys | join(', ') }}) from ({{ sql }}) where false
    {%- endif %}
  {%- endcall %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
