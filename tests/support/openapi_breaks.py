"""Find the changes between two OpenAPI documents that break existing scripts, and describe each with its location.

All requests that the old document allows must be allowed by the new one, and all responses that the new one allows
must be allowed by the old one. Both compare two schemas in the same way. Other additions break nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

# Keywords that allow less the larger they are, and those that allow more.
FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Keywords that are compared only for equality.
OPAQUE = ("pattern", "format", "allOf", "not", "if", "then", "else", "multipleOf", "uniqueItems", "propertyNames")
NOTHING = object()


def breaks(old: Document, new: Document) -> list[str]:
    """Describe every breaking change in one sentence; an empty list if the new document only adds to the old one."""
    found = []
    for path, operations in old["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                found.append(f"{where}: was removed")
            else:
                found += [f"{where}: {words}" for words in _Operation(operation, now, old, new).breaks()]
    return found


@dataclass
class _Operation:
    """An operation in both versions, and the documents that their references point into."""

    old: Document
    new: Document
    old_document: Document
    new_document: Document

    def breaks(self) -> Iterator[str]:
        if self.old["operationId"] != self.new["operationId"]:
            yield f"operationId was {self.old['operationId']}, is {self.new['operationId']}"
        if not all(_is_accepted(self.new["security"], credentials) for credentials in self.old["security"]):
            yield f"security was {self.old['security']}, is {self.new['security']}"
        yield from self._parameters()
        yield from self._body()
        for status, response in self.old["responses"].items():
            now = self.new["responses"].get(status)
            if now is None:
                yield f"response {status}: was removed"
            else:
                words = self._response(_resolved(response, self.old_document), _resolved(now, self.new_document))
                yield from (f"response {status}{difference}" for difference in words)

    def _parameters(self) -> Iterator[str]:
        before, now = _by_name(self.old), _by_name(self.new)
        for name, given in now.items():
            if given.get("required") and not before.get(name, {}).get("required"):
                yield f"{name}: is now required"
        for name, given in before.items():
            if name not in now:
                yield f"{name}: was removed"
            else:
                yield from self._request(now[name]["schema"], given["schema"], name)

    def _body(self) -> Iterator[str]:
        before, now = self.old.get("requestBody"), self.new.get("requestBody")
        if now and now.get("required") and not (before and before.get("required")):
            yield "body: is now required"
        for kind, media in (before or {}).get("content", {}).items():
            new_media = (now or {}).get("content", {}).get(kind)
            if new_media is None:
                yield f"body: {kind} was removed"
            else:
                yield from self._request(new_media["schema"], media["schema"], "body")

    def _request(self, now: Schema, before: Schema, where: str) -> Iterator[str]:
        return _Schemas(self.new_document, self.old_document, is_request=True).excess(now, before, where)

    def _response(self, before: Document, now: Document) -> Iterator[str]:
        for header in before.get("headers", {}):
            if header not in now.get("headers", {}):
                yield f": header {header} was removed"
        for kind, media in before.get("content", {}).items():
            given = now.get("content", {}).get(kind)
            if given is None:
                yield f": {kind} was removed"
            else:
                schemas = _Schemas(self.old_document, self.new_document, is_request=False)
                yield from schemas.excess(media["schema"], given["schema"], "")


def _by_name(operation: Document) -> dict[str, Any]:
    return {f"{given['in']} parameter {given['name']}": given for given in operation.get("parameters", [])}


def _is_accepted(security: Sequence[Mapping[str, Sequence[str]]], credentials: Mapping[str, Sequence[str]]) -> bool:
    """Whether credentials accepted before are still accepted."""
    return any(
        all(
            set(scopes) <= set(credentials.get(scheme, ())) and scheme in credentials
            for scheme, scopes in demand.items()
        )
        for demand in security
    )


def _resolved(schema: Any, document: Document) -> Any:
    """Resolve a `$ref` and merge the keywords beside it."""
    if "$ref" not in schema:
        return schema
    target: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    beside = {name: value for name, value in schema.items() if name not in {"$ref", "properties"}}
    members = dict(target.get("properties", {}))
    for name, member in schema.get("properties", {}).items():
        members[name] = {**members.get(name, {}), **member}
    return {**target, **beside, **({"properties": members} if members else {})}


@dataclass
class _Schemas:
    """Compares two schemas, each of its own document."""

    wide_document: Document
    narrow_document: Document
    is_request: bool  # for requests, wide is the new schema; for responses, the old one

    def excess(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        """Yield where and how `narrow` allows more than `wide`."""
        wide, narrow = _resolved(wide, self.wide_document), _resolved(narrow, self.narrow_document)
        if "anyOf" in wide or "anyOf" in narrow:
            yield from self._compare_choices(
                _choices(wide, self.wide_document), _choices(narrow, self.narrow_document), where
            )
            return
        for keyword in ("type", "values", *FLOORS, *CEILINGS, *OPAQUE):
            wide_value, narrow_value = _value(wide, keyword), _value(narrow, keyword)
            if not _allows_all(keyword, wide_value, narrow_value):
                yield self._change(where, keyword, wide_value, narrow_value)
        if self.is_request and wide.get("default") != narrow.get("default"):
            yield self._change(where, "default", wide.get("default"), narrow.get("default"))
        if "items" in wide:
            yield from self.excess(wide["items"], narrow.get("items", {}), f"{where}[]")
        yield from self._compare_members(wide, narrow, where)

    def _compare_choices(self, wide: Sequence[Schema], narrow: Sequence[Schema], where: str) -> Iterator[str]:
        for choice in narrow:
            tries = [list(self.excess(other, choice, where)) for other in wide]
            if [] not in tries:
                alike = [words for other, words in zip(wide, tries, strict=True) if _kind(other) == _kind(choice)]
                yield from alike[0] if alike else [self._change(where, "type", _kinds(wide), _kinds(narrow))]

    def _compare_members(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        wide_members, narrow_members = wide.get("properties", {}), narrow.get("properties", {})
        was, now = (narrow_members, wide_members) if self.is_request else (wide_members, narrow_members)
        for name in was:
            if name not in now:
                yield f"{where}/{name}: was removed"
        for name in set(wide.get("required", ())) - set(narrow.get("required", ())):
            if self.is_request or name in now:
                yield f"{where}/{name}: {'is now required' if self.is_request else 'may now be missing'}"
        if (
            self.is_request
            and wide.get("additionalProperties", True) is False
            and narrow.get("additionalProperties", True)
        ):
            yield f"{where}: now refuses unknown members"
        for name in was:
            if name in now:
                yield from self.excess(wide_members[name], narrow_members[name], f"{where}/{name}")

    def _change(self, where: str, keyword: str, wide: Any, narrow: Any) -> str:
        was, now = (narrow, wide) if self.is_request else (wide, narrow)
        return f"{where}: {keyword} was {_shown(was)}, is {_shown(now)}"


def _choices(schema: Schema, document: Document) -> list[Schema]:
    """Flatten nested anyOf choices; a schema without anyOf is its only choice."""
    beside = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    if "anyOf" not in schema:
        return [beside]
    return [
        last for choice in schema["anyOf"] for last in _choices({**beside, **_resolved(choice, document)}, document)
    ]


def _value(schema: Schema, keyword: str) -> Any:
    if keyword != "values":
        return schema.get(keyword, NOTHING)
    return [schema["const"]] if "const" in schema else schema.get("enum", NOTHING)


def _allows_all(keyword: str, wide: Any, narrow: Any) -> bool:
    """Whether a keyword with the first value allows all that it allows with the second."""
    if wide is NOTHING or wide == narrow:
        return True
    if narrow is NOTHING:
        return False
    if keyword == "values":
        return all(value in wide for value in narrow)
    if keyword == "type":
        return bool((wide, narrow) == ("number", "integer"))
    return bool((keyword in FLOORS and wide <= narrow) or (keyword in CEILINGS and wide >= narrow))


def _kind(schema: Schema) -> Any:
    return schema.get("type")


def _kinds(schemas: Sequence[Schema]) -> str:
    return " or ".join(str(schema.get("type", "anything")) for schema in schemas)


def _shown(value: Any) -> str:
    return "not set" if value is NOTHING else str(value)
