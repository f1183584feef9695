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
    was_in: Document
    is_in: Document

    def breaks(self) -> Iterator[str]:
        if self.old["operationId"] != self.new["operationId"]:
            yield f"operationId was {self.old['operationId']}, is {self.new['operationId']}"
        if not all(_is_accepted(self.new["security"], held) for held in self.old["security"]):
            yield f"security was {self.old['security']}, is {self.new['security']}"
        yield from self._parameters()
        yield from self._body()
        for status, answer in self.old["responses"].items():
            now = self.new["responses"].get(status)
            if now is None:
                yield f"response {status}: was removed"
            else:
                words = self._response(_resolved(answer, self.was_in), _resolved(now, self.is_in))
                yield from (f"response {status}{difference}" for difference in words)

    def _parameters(self) -> Iterator[str]:
        before, now = _by_name(self.old), _by_name(self.new)
        for place, given in now.items():
            if given.get("required") and not before.get(place, {}).get("required"):
                yield f"{place}: is now required"
        for place, given in before.items():
            if place not in now:
                yield f"{place}: was removed"
            else:
                yield from self._request(now[place]["schema"], given["schema"], place)

    def _body(self) -> Iterator[str]:
        before, now = self.old.get("requestBody"), self.new.get("requestBody")
        if now and now.get("required") and not (before and before.get("required")):
            yield "body: is now required"
        for kind, media in (before or {}).get("content", {}).items():
            taken = (now or {}).get("content", {}).get(kind)
            if taken is None:
                yield f"body: {kind} was removed"
            else:
                yield from self._request(taken["schema"], media["schema"], "body")

    def _request(self, now: Schema, before: Schema, where: str) -> Iterator[str]:
        return _Schemas(self.is_in, self.was_in, sent=True).excess(now, before, where)

    def _response(self, before: Document, now: Document) -> Iterator[str]:
        for header in before.get("headers", {}):
            if header not in now.get("headers", {}):
                yield f": header {header} was removed"
        for kind, media in before.get("content", {}).items():
            given = now.get("content", {}).get(kind)
            if given is None:
                yield f": {kind} was removed"
            else:
                schemas = _Schemas(self.was_in, self.is_in, sent=False)
                yield from schemas.excess(media["schema"], given["schema"], "")


def _by_name(operation: Document) -> dict[str, Any]:
    return {f"{given['in']} parameter {given['name']}": given for given in operation.get("parameters", [])}


def _is_accepted(security: Sequence[Mapping[str, Sequence[str]]], held: Mapping[str, Sequence[str]]) -> bool:
    """Whether credentials accepted before are still accepted."""
    return any(
        all(set(scopes) <= set(held.get(scheme, ())) and scheme in held for scheme, scopes in demand.items())
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

    of_wide: Document
    of_narrow: Document
    sent: bool  # True for requests: wide is the new schema; False for responses: wide is the old one

    def excess(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        """Yield where and how `narrow` allows more than `wide`."""
        wide, narrow = _resolved(wide, self.of_wide), _resolved(narrow, self.of_narrow)
        if "anyOf" in wide or "anyOf" in narrow:
            yield from self._compare_choices(_choices(wide, self.of_wide), _choices(narrow, self.of_narrow), where)
            return
        for keyword in ("type", "values", *FLOORS, *CEILINGS, *OPAQUE):
            is_, than = _value(wide, keyword), _value(narrow, keyword)
            if not _allows_all(keyword, is_, than):
                yield self._change(where, keyword, is_, than)
        if self.sent and wide.get("default") != narrow.get("default"):
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
        of_wide, of_narrow = wide.get("properties", {}), narrow.get("properties", {})
        was, now = (of_narrow, of_wide) if self.sent else (of_wide, of_narrow)
        for name in was:
            if name not in now:
                yield f"{where}/{name}: was removed"
        for name in set(wide.get("required", ())) - set(narrow.get("required", ())):
            if self.sent or name in now:
                yield f"{where}/{name}: {'is now required' if self.sent else 'may now be missing'}"
        if self.sent and wide.get("additionalProperties", True) is False and narrow.get("additionalProperties", True):
            yield f"{where}: now refuses unknown members"
        for name in was:
            if name in now:
                yield from self.excess(of_wide[name], of_narrow[name], f"{where}/{name}")

    def _change(self, where: str, keyword: str, wide: Any, narrow: Any) -> str:
        was, now = (narrow, wide) if self.sent else (wide, narrow)
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
