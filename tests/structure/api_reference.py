#!/usr/bin/env python3
"""Holds canary/admin/openapi.json to the routes that there are, and docs/api.md to it.

    api_reference.py ROOT            exits 1 with each fault; api.md must be what would be written
    api_reference.py ROOT --write    writes docs/api.md
"""
import json
import os
import re
import sys

PAGE = "docs/api.md"
ROUTE = re.compile(r'\{METHOD_(\w+), "([^"]+)", ROUTE_(\w+), ')
ROLES = {"OPEN": "anybody", "VIEWER": "viewer", "OPERATOR": "operator"}
METHODS = ("get", "put", "post", "delete", "patch")
UNDESCRIBED = {"/assets/{}"}  # the dashboard's own files
HEAD = """# Admin API

What the admin address (`admin.address`, http://127.0.0.1:9901 unless said otherwise) answers, made from [canary/admin/openapi.json](UP/canary/admin/openapi.json), which a running Serin gives at `/api/v1/openapi.json`;
`tests/structure/api_reference.py . --write` writes this page, and a test holds it to that file and the file to the program's routes. The verbs of `serin` and the dashboard use nothing else.

- **Who may.** Without `admin.tokens`, which is possible on loopback and a unix socket, everybody who reaches the address. With them `Authorization: Bearer TOKEN`; a `viewer` may look, an `operator` also change. `curl -H "Authorization: Bearer $SERIN_TOKEN" ...`
- **A GET changes nothing.** Every change is a POST or PUT, is audited with its actor, and is refused from a foreign page (`Origin`, `Sec-Fetch-Site`); a foreign `Host` is refused always.
- **Revisions.** A service's `ETag` is its revision; a change with `If-Match` is made only to what you saw, and is a 412 otherwise.
- **Errors** are problem documents (RFC 9457, [Problem](#problem)) that name the field. 401: no token, or none that is known. 403: not with this role, Host or Origin. 404, 405: as in HTTP.
- **Weights** are percent of the requests, times are UTC.
""".replace("UP/", ".." "/")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def operations(spec):
    for path, entry in spec["paths"].items():
        for method in METHODS:
            if method in entry:
                yield method.upper(), path, entry[method]


def routes(root):
    """{(method, path with {}): role}"""
    return {(method, path): ROLES[role] for method, path, role in ROUTE.findall(read(root, "canary/admin/routes.c"))}


def bare(path):
    return re.sub(r"\{\w+\}", "{}", path)


# --- faults of the description ------------------------------------------------------------------------------------------
def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def lookup(spec, reference):
    node = spec
    for part in reference.removeprefix("#/").split("/"):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def faults(spec, there):
    described = {(method, bare(path)) for method, path, _ in operations(spec)}
    for method, path in sorted(set(there) - described):
        if path not in UNDESCRIBED:
            yield f"{method} {path} is not described"
    for method, path in sorted(described - set(there)):
        yield f"{method} {path} is described, and there is no such route"
    used = set(references(spec))
    for reference in sorted(used):
        if lookup(spec, reference) is None:
            yield f"{reference} leads nowhere"
    for name in spec["components"]["schemas"]:
        if f"#/components/schemas/{name}" not in used:
            yield f"nothing uses the schema {name}"
    seen = set()
    for method, path, operation in operations(spec):
        where = f"{method} {path}"
        if operation.get("operationId") in seen or not operation.get("summary"):
            yield f"{where}: no operationId of its own, or no summary"
        seen.add(operation.get("operationId"))
        named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        if named != set(re.findall(r"\{(\w+)\}", path)):
            yield f"{where}: parameters of the path: {sorted(named)}"
        if any("description" not in one for one in operation.get("parameters", ())):
            yield f"{where}: a parameter without a word about it"
        if any("description" not in one and "$ref" not in one for one in operation["responses"].values()):
            yield f"{where}: an answer without a word about it"
        if there.get((method, bare(path))) == "anybody" and operation.get("security") != []:
            yield f"{where} is open to anybody, and the description does not say so"
        if there.get((method, bare(path))) in ("viewer", "operator") and "security" in operation:
            yield f"{where} takes a token, and the description says otherwise"


# --- the page -----------------------------------------------------------------------------------------------------------
def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(reference):
    name = reference.rsplit("/", 1)[1]
    return f"[{name}](#{anchor(name)})"


def cell(text):
    return " ".join(str(text).replace("|", "\\|").split())


def kind(schema):
    """A schema in few words."""
    if "$ref" in schema:
        return link(schema["$ref"])
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(kind(one) for one in schema[key])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" if isinstance(one, str) else str(json.dumps(one)) for one in schema["enum"])
    types = schema.get("type", "anything")
    types = types if isinstance(types, list) else [types]
    said = " or ".join(types)
    if "array" in types and "items" in schema:
        said = said.replace("array", f"array of {kind(schema['items'])}")
    if "object" in types and isinstance(schema.get("additionalProperties"), dict):
        said = said.replace("object", f"object of {kind(schema['additionalProperties'])}")
    return said


def bounds(schema):
    said = []
    for low, high, what in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")):
        if low in schema or high in schema:
            said.append(f"{schema.get(low, '')} to {schema.get(high, '')}{what}".replace(" to ", " or more", 1)
                        if high not in schema else f"{schema.get(low, 'at most')}{' to' if low in schema else ''} {schema[high]}{what}")
    if "default" in schema:
        said.append(f"default {json.dumps(schema['default'])}")
    return ", ".join(said)


def words(schema):
    return cell("; ".join(one for one in (schema.get("description", ""), bounds(schema)) if one))


def properties(schema, prefix=""):
    """Rows of a table: name, type, meaning; those of objects within follow, with a dot."""
    required = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        mark = " (required)" if name in required and not prefix else ""
        yield f"| `{prefix}{name}`{mark} | {cell(kind(inner))} | {words(inner)} |"
        nested = inner.get("items", inner) if "$ref" not in inner else {}
        if "properties" in nested:
            yield from properties(nested, f"{prefix}{name}{'[]' if nested is not inner else ''}.")


def table(schema):
    rows = list(properties(schema))
    return ["| | type | |", "|---|---|---|", *rows, ""] if rows else [f"{kind(schema)}. {words(schema)}".strip(), ""]


def page_of_operation(method, path, operation, role):
    lines = [f"### {method} {path}", f"*{role}.* {operation['summary']}." + (f" {operation['description']}" if "description" in operation else ""), ""]
    if operation.get("parameters"):
        lines += ["| parameter | in | type | |", "|---|---|---|---|"]
        lines += [f"| `{one['name']}` | {one['in']} | {cell(kind(one['schema']))} | {words({**one['schema'], 'description': one['description']})} |"
                  for one in operation["parameters"]] + [""]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        need = "" if operation["requestBody"].get("required") else ", may be left out"
        lines += [f"Body (`{media}`{need}):", ""] + table(content.get("schema", {}))
    lines += ["| answer | |", "|---|---|"]
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            lines.append("| any other | [Problem](#problem) |")
            continue
        shapes = [f"`{media}`" + (f": {kind(content['schema'])}" if "$ref" in content.get("schema", {}) or "oneOf" in content.get("schema", {}) else "")
                  for media, content in answer.get("content", {}).items()]
        lines.append(f"| {status} | {cell(answer['description'])}{'. ' + '; '.join(shapes) if shapes else ''} |")
    inner = [content["schema"] for answer in operation["responses"].values() for content in answer.get("content", {}).values()
             if "properties" in content.get("schema", {})]
    return lines + [""] + [line for schema in inner[:1] for line in table(schema)]


def page(spec, there):
    lines = [HEAD, "| | role | |", "|---|---|---|"]
    every = [(method, path, operation, there.get((method, bare(path)), "?")) for method, path, operation in operations(spec)]
    lines += [f"| [`{method} {path}`](#{anchor(f'{method} {path}')}) | {role} | {operation['summary']} |" for method, path, operation, role in every]
    lines += ["", "## Requests", ""]
    for one in every:
        lines += page_of_operation(*one)
    lines += ["## Schemas", ""]
    for name, schema in spec["components"]["schemas"].items():
        lines += [f"### {name}"] + ([schema["description"] + ("" if schema["description"].endswith(".") else "."), ""] if "description" in schema else []) + table(schema)
    return "\n".join(lines).rstrip() + "\n"


def main():
    root = sys.argv[1]
    spec, there = json.loads(read(root, "canary/admin/openapi.json")), routes(root)
    found = list(faults(spec, there))
    spoiled = json.loads(json.dumps(spec).replace("schemas/Rollback\"", "schemas/Rolback\"").replace("/rollout/pause", "/rollout/wait"))
    if len(there) < 20 or len(list(faults(spoiled, there))) < 4:
        found.append("this check does not see what is wrong")
    text = page(spec, there)
    if "--write" in sys.argv[2:]:
        with open(os.path.join(root, PAGE), "w", encoding="utf-8") as file:
            file.write(text)
    elif not os.path.exists(os.path.join(root, PAGE)) or read(root, PAGE) != text:
        found.append(f"{PAGE} is not what canary/admin/openapi.json says: tests/structure/api_reference.py . --write")
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
