# SPDX-License-Identifier: GPL-2.0
"""Checks JSON against a schema: the keywords that Documentation/rfou-command.schema.json uses."""

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
KNOWN = {
    "$comment",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "enum",
    "items",
    "maximum",
    "minimum",
    "properties",
    "required",
    "type",
}


def is_type(value, name):
    """Returns whether a value is of a type. A boolean is not a number."""
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def errors(value, schema, root, path="$"):
    """Returns the faults of a value as texts; an empty list if there are none."""
    assert schema.keys() <= KNOWN, f"keywords that are not checked: {schema.keys() - KNOWN}"
    if "$ref" in schema:
        target = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        return errors(value, target, root, path)
    if "anyOf" in schema:
        tried = [errors(value, branch, root, path) for branch in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_type(value, name) for name in types):
        return [f"{path}: {value!r} is not of type {types}"]
    found = [f"{path}: {fault}" for fault in of_value(value, schema)]
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += errors(item, schema["items"], root, f"{path}[{index}]")
    if isinstance(value, dict):
        for key, item in value.items():
            if key in schema.get("properties", {}):
                found += errors(item, schema["properties"][key], root, f"{path}.{key}")
    return found


def of_value(value, schema):
    """Yields the faults of a value itself, without those of its parts."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{value!r} is not {schema['const']!r}"
    if is_type(value, "number") and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        yield f"{value} is too small or too large"
    if isinstance(value, dict):
        yield from (f"no {key}" for key in schema.get("required", []) if key not in value)
        if schema.get("additionalProperties") is False:
            known = schema.get("properties", {})
            yield from (f"{key} is not in the schema" for key in value if key not in known)
