# SPDX-License-Identifier: MIT
"""JSON Schema of what dataclasses become in JSON, so that a description cannot differ from them."""

import types
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

_PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    int: {"type": "integer"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def schema_of(kind: Any) -> dict[str, Any]:
    """Of a value of this type: dataclasses, tuples, dictionaries by name, unions and plain ones."""
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    if is_dataclass(kind):
        return _object(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(item) for item in arguments]}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is tuple:
        # Not prefixItems: OpenAPI 3.1 has them, and many of its readers do not.
        count = len(arguments)
        kinds = [schema_of(item) for item in dict.fromkeys(arguments)]
        items = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return {"type": "array", "items": items, "minItems": count, "maxItems": count}
    raise TypeError(f"no schema for {kind}")


def _object(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]
    return {
        "type": "object",
        "properties": {name: schema_of(hints[name]) for name in names},
        "required": names,
    }
