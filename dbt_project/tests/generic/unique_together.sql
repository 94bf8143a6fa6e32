{% test unique_together(model, columns) %}
{# Groups of rows that share all the columns given. #}
select {{ columns | join(', ') }}, count(*) as rows
from {{ model }}
group by all
having count(*) > 1
{% endtest %}
