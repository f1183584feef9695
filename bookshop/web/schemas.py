"""Base models and field types of the JSON API: strict bodies, text that can be stored, and paged lists."""

import re
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bookshop.kit.database import ID_MAX
from bookshop.kit.text import problem_in, tidy

T = TypeVar("T")


def _json_literal(value: Any) -> Any:
    """Check that text is an integer or a boolean as JSON writes it; Pydantic alone would accept `1.0` and `yes`."""
    if isinstance(value, str) and not LITERAL.fullmatch(value):
        raise ValueError("must be a whole number in digits, or true or false")
    return value


LITERAL = re.compile(r"-?[0-9]{1,20}|true|false")
JsonLiteral = BeforeValidator(_json_literal)


class Body(BaseModel):
    """A JSON body: integers must be JSON integers, and unknown members are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")


class Query(BaseModel):
    """A query string: its values are text, so '5' is a valid integer. Unknown parameters are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Which page of a list to return: by number, or by the cursor of the previous page."""

    page: Annotated[int, JsonLiteral] = Field(
        1, ge=1, le=ID_MAX, description="The number of the page. Ignored if there is a `cursor`."
    )
    size: Annotated[int, JsonLiteral] = Field(20, ge=1, le=100, description="The number of items per page.")
    cursor: str | None = Field(
        None,
        description="Faster than `page` for long lists: empty for the first page, then `next_cursor` of the previous.",
    )


class MemberError(BaseModel):
    """What is wrong with one member of the body or one query parameter; `pointer` is a JSON Pointer (RFC 6901)."""

    detail: str
    pointer: str


class ProblemOut(BaseModel):
    """Why a request was refused (RFC 9457). Scripts should check `code`; the sentences may change."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[MemberError] = Field([], description="With VALIDATION_ERROR: each invalid value and the reason.")
    oldest: int = Field(1, description="With EVENTS_PURGED: the position of the oldest event that is kept.")


class ListOf(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    total: int = Field(
        description="The number of items in the whole list. With `cursor`, as counted for the first page."
    )
    page: int
    size: int
    next_cursor: str | None = Field(
        None, description="Only in answer to a `cursor`: the cursor of the next page, or null on the last page."
    )


def _checked(lines: bool) -> Any:
    def check(text: str) -> str:
        if problem := problem_in(text, lines=lines):
            raise ValueError(problem)
        return text

    return check


def schema_pattern(pattern: str) -> Any:
    """Add a pattern to the JSON schema only; validators enforce it with clearer messages."""
    return Field(json_schema_extra={"pattern": pattern})


def _tidy(value: Any) -> Any:
    return tidy(value) if isinstance(value, str) else value


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


# For the JSON schema, what `problem_in` refuses: control characters and U+FFFD, the mark of damaged text.
CONTROLS = r"\u0000-\u001f\u007f-\u009f\ufffd"
CONTROLS_EXCEPT_BREAKS = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffd"
NO_CONTROLS = rf"^[^{CONTROLS}]*$"
NOT_BLANK = rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"
LINES = rf"^[^{CONTROLS_EXCEPT_BREAKS}]*$"
NOT_BLANK_LINES = rf"^[^{CONTROLS_EXCEPT_BREAKS}]*[^\s{CONTROLS}][^{CONTROLS_EXCEPT_BREAKS}]*$"

BlankAsNone = Annotated[T | None, BeforeValidator(_blank_as_none)]
Line = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=False)), schema_pattern(NO_CONTROLS)]
Lines = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=True)), schema_pattern(LINES)]
Id = Annotated[int, Field(ge=1, le=ID_MAX)]
