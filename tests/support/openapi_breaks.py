"""What of one OpenAPI document breaks scripts that were written by another: in words, each with where it is.

All that a script may send by the old document it may send by the new one, and all that it may be answered by the new
one it may be answered by the old one. Both are the same question of two schemas. All else that is added breaks nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

# Keywords that let less through the larger they are, and those that let more through.
FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# What is not looked into: it says the same, or something else.
OPAQUE = ("pattern", "format", "allOf", "not", "if", "then", "else", "multipleOf", "uniqueItems", "propertyNames")
NOTHING = object()


def breaks(old: Document, new: Document) -> list[str]:
    """All that breaks, one sentence each; none if the new document only adds to the old one."""
    found = []
    for path, operations in old["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                found.append(f"{where}: is gone")
            else:
                found += [f"{where}: {words}" for words in _Operation(operation, now, old, new).breaks()]
    return found


@dataclass
class _Operation:
    """An operation as it was and as it is, and the documents that hold what they refer to."""

    old: Document
    new: Document
    was_in: Document
    is_in: Document

    def breaks(self) -> Iterator[str]:
        if self.old["operationId"] != self.new["operationId"]:
            yield f"operationId was {self.old['operationId']}, is {self.new['operationId']}"
        if not all(_is_let_in(self.new["security"], held) for held in self.old["security"]):
            yield f"security was {self.old['security']}, is {self.new['security']}"
        yield from self._parameters()
        yield from self._body()
        for status, answer in self.old["responses"].items():
            now = self.new["responses"].get(status)
            if now is None:
                yield f"answer {status}: is gone"
            else:
                words = self._answer(_resolved(answer, self.was_in), _resolved(now, self.is_in))
                yield from (f"answer {status}{said}" for said in words)

    def _parameters(self) -> Iterator[str]:
        before, now = _by_name(self.old), _by_name(self.new)
        for place, given in now.items():
            if given.get("required") and not before.get(place, {}).get("required"):
                yield f"{place}: is required now"
        for place, given in before.items():
            if place not in now:
                yield f"{place}: is gone"
            else:
                yield from self._sent(now[place]["schema"], given["schema"], place)

    def _body(self) -> Iterator[str]:
        before, now = self.old.get("requestBody"), self.new.get("requestBody")
        if now and now.get("required") and not (before and before.get("required")):
            yield "body: is required now"
        for kind, media in (before or {}).get("content", {}).items():
            taken = (now or {}).get("content", {}).get(kind)
            if taken is None:
                yield f"body: {kind} is gone"
            else:
                yield from self._sent(taken["schema"], media["schema"], "body")

    def _sent(self, now: Schema, before: Schema, where: str) -> Iterator[str]:
        return _Schemas(self.is_in, self.was_in, sent=True).excess(now, before, where)

    def _answer(self, before: Document, now: Document) -> Iterator[str]:
        for header in before.get("headers", {}):
            if header not in now.get("headers", {}):
                yield f": header {header} is gone"
        for kind, media in before.get("content", {}).items():
            given = now.get("content", {}).get(kind)
            if given is None:
                yield f": {kind} is gone"
            else:
                schemas = _Schemas(self.was_in, self.is_in, sent=False)
                yield from schemas.excess(media["schema"], given["schema"], "")


def _by_name(operation: Document) -> dict[str, Any]:
    return {f"{given['in']} parameter {given['name']}": given for given in operation.get("parameters", [])}


def _is_let_in(security: Sequence[Mapping[str, Sequence[str]]], held: Mapping[str, Sequence[str]]) -> bool:
    """Whether who satisfies one of the former demands satisfies one of these."""
    return any(
        all(set(scopes) <= set(held.get(scheme, ())) and scheme in held for scheme, scopes in demand.items())
        for demand in security
    )


def _resolved(schema: Any, document: Document) -> Any:
    """What a `$ref` refers to, with what stands beside it."""
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
    """Tells what one schema lets through that another does not; each is of its own document."""

    of_wide: Document
    of_narrow: Document
    sent: bool  # what may be sent: wide is the new schema; else what may be answered: wide is the old one

    def excess(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        """Where and how `narrow` lets through more than `wide`."""
        wide, narrow = _resolved(wide, self.of_wide), _resolved(narrow, self.of_narrow)
        if "anyOf" in wide or "anyOf" in narrow:
            yield from self._of_choices(_choices(wide, self.of_wide), _choices(narrow, self.of_narrow), where)
            return
        for keyword in ("type", "values", *FLOORS, *CEILINGS, *OPAQUE):
            is_, than = _value(wide, keyword), _value(narrow, keyword)
            if not _covers(keyword, is_, than):
                yield self._changed(where, keyword, is_, than)
        if self.sent and wide.get("default") != narrow.get("default"):
            yield self._changed(where, "default", wide.get("default"), narrow.get("default"))
        if "items" in wide:
            yield from self.excess(wide["items"], narrow.get("items", {}), f"{where}[]")
        yield from self._of_members(wide, narrow, where)

    def _of_choices(self, wide: Sequence[Schema], narrow: Sequence[Schema], where: str) -> Iterator[str]:
        for choice in narrow:
            tries = [list(self.excess(other, choice, where)) for other in wide]
            if [] not in tries:
                alike = [words for other, words in zip(wide, tries, strict=True) if _kind(other) == _kind(choice)]
                yield from alike[0] if alike else [self._changed(where, "type", _kinds(wide), _kinds(narrow))]

    def _of_members(self, wide: Schema, narrow: Schema, where: str) -> Iterator[str]:
        of_wide, of_narrow = wide.get("properties", {}), narrow.get("properties", {})
        was, now = (of_narrow, of_wide) if self.sent else (of_wide, of_narrow)
        for name in was:
            if name not in now:
                yield f"{where}/{name}: is gone"
        for name in set(wide.get("required", ())) - set(narrow.get("required", ())):
            if self.sent or name in now:
                yield f"{where}/{name}: {'is required now' if self.sent else 'may be missing now'}"
        if self.sent and wide.get("additionalProperties", True) is False and narrow.get("additionalProperties", True):
            yield f"{where}: refuses unknown members now"
        for name in was:
            if name in now:
                yield from self.excess(of_wide[name], of_narrow[name], f"{where}/{name}")

    def _changed(self, where: str, keyword: str, wide: Any, narrow: Any) -> str:
        was, now = (narrow, wide) if self.sent else (wide, narrow)
        return f"{where}: {keyword} was {_said(was)}, is {_said(now)}"


def _choices(schema: Schema, document: Document) -> list[Schema]:
    """The choices of an anyOf, and those within them; a schema without is the only one."""
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


def _covers(keyword: str, wide: Any, narrow: Any) -> bool:
    """Whether a keyword with the first value lets through all that it does with the second."""
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


def _said(value: Any) -> str:
    return "not said" if value is NOTHING else str(value)
