"""described.py - answers of the admin API, held to canary/admin/openapi.json.

    described = Described(serin)
    described.ask("GET", "/api/v1/status")
    described.ask("GET", f"/api/v1/rollbacks/{id}", "/api/v1/rollbacks/{id}")
    described.faults                # what was answered and is not described, or not as described

A field that the description does not name is a fault, and so is an object of which it says nothing."""

import json
import os

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
TOLD = ("etag", "location", "retry-after")  # header fields that a program goes by


def is_of(value, name):
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))


class Described:
    def __init__(self, serin):
        self.serin, self.faults, self.asked = serin, set(), set()
        with open(os.path.join(ROOT, "canary", "admin", "openapi.json"), encoding="utf-8") as file:
            self.spec = json.load(file)

    def _target(self, node):
        while "$ref" in node:
            path, node = node["$ref"], self.spec
            for name in path.removeprefix("#/").split("/"):
                node = node[name]
        return node

    def ask(self, method, path, template=None, body=None, fields=None):
        """One request; its answer, after it was compared."""
        template = template or path.split("?")[0]
        answer = self.serin.admin(method, path, body, fields)
        self.asked.add((method, template))
        responses = self.spec["paths"][template][method.lower()]["responses"]
        where = f"{method} {template}: {answer.status}"
        if answer.status < 300 and str(answer.status) not in responses:
            self.faults.add(f"{where} is not described")
            return answer
        response = self._target(responses.get(str(answer.status), responses["default"]))
        named = {name.lower() for name in response.get("headers", {})}
        self.faults.update(f"{where}: header {name} is not described" for name in answer.fields
                           if name.lower() in TOLD and name.lower() not in named)
        kind = (answer.fields["Content-Type"] or "").split(";")[0]
        content = response.get("content", {})
        if answer.body and kind not in content:
            self.faults.add(f"{where}: {kind} is not described")
        elif answer.body and kind in ("application/json", "application/problem+json"):
            self._compare(content[kind]["schema"], answer.json, where)
        return answer

    def _compare(self, schema, value, where):
        schema = self._target(schema)
        for part in schema.get("allOf", ()):
            self._compare(part, value, where)
        choices = schema.get("oneOf", schema.get("anyOf"))
        if choices:
            self._compare_one_of(choices, value, where)
        names = schema.get("type", ())
        names = [names] if isinstance(names, str) else names
        if names and not any(is_of(value, name) for name in names):
            self.faults.add(f"{where} is {json.dumps(value)[:80]}, not {' or '.join(names)}")
            return
        if value not in schema.get("enum", (value,)):
            self.faults.add(f"{where} is {value!r}, not one of {schema['enum']}")
        if isinstance(value, dict) and "object" in names:
            self._compare_object(schema, value, where)
        for one in value if isinstance(value, list) and "items" in schema else ():
            self._compare(schema["items"], one, f"{where}[]")

    def _compare_one_of(self, choices, value, where):
        known, fewest = self.faults, None
        for choice in choices:
            self.faults = set()
            self._compare(choice, value, where)
            if fewest is None or len(self.faults) < len(fewest):
                fewest = self.faults
        self.faults = known | fewest

    def _compare_object(self, schema, value, where):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        self.faults.update(f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, field in value.items():
            if name in properties:
                self._compare(properties[name], field, f"{where}.{name}")
            elif isinstance(others, dict):
                self._compare(others, field, f"{where}.*")
            elif others is not True:
                self.faults.add(f"{where}.{name} is not described")
