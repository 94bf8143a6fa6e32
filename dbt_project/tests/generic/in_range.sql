{% test in_range(model, column_name, low, high) %}
{# Rows whose value lies outside low..high, both ends allowed; nulls are another test's business. #}
select {{ column_name }} from {{ model }}
where not ({{ column_name }} between {{ low }} and {{ high }})
{% endtest %}
