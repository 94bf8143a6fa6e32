{# Spilled data goes beside the launch: set here, as a variable in profiles.yml would make dbt parse everything anew. #}
{% macro start_run() %}
  {%- if execute and env_var('SMC_MIXING', 'unset') != 'unset' -%}
    set temp_directory = {{ literal(env_var('SMC_MIXING') ~ '/spill') }}
  {%- endif -%}
{% endmacro %}
