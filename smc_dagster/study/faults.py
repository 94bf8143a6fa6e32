"""What is wrong with a study file, in words.

What belongs here: turning pydantic's errors into key, value and what is allowed. What does not: the rules (sections.py,
model.py).
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from smc_dagster.credentials import masked


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """One clause a fault: the key by its path, what is wrong, what was given, and what is allowed there."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "study"
        message = item["msg"].removeprefix("Value error, ")
        given = item.get("input")
        shown = "" if isinstance(given, dict | list) else f" (given: {masked(repr(given))})"
        allowed = ""
        if item["type"] == "extra_forbidden":
            message, shown = "unknown key", ""
            allowed = f"; allowed here: {', '.join(_fields_at(root, item['loc'][:-1]))}"
        lines.append(f"`{where}`: {message}{shown}{allowed}")
    return "; ".join(lines)


def _fields_at(root: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    models: list[type[BaseModel]] = [root]
    for part in location:
        if isinstance(part, int):
            continue
        # of a union, pydantic names the kind that it took as a step of its own
        kinds = [one for one in models if part in get_args(getattr(one.model_fields.get("kind"), "annotation", None))]
        if kinds:
            models = kinds
            continue
        inside = [
            model
            for one in models
            if part in one.model_fields
            for model in _models_in(one.model_fields[str(part)].annotation)
        ]
        models = inside or models
    return sorted({name for one in models for name in one.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in get_args(annotation) for model in _models_in(one)]
