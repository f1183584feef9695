"""What every feature's JSON has in common: strict bodies, text that can be stored, lists with pages."""

import re
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bookshop.kit.database import ID_MAX
from bookshop.kit.text import problem_in, tidy

T = TypeVar("T")


def _plain(value: Any) -> Any:
    """Numbers in digits and nothing else, true and false in no other letters: what JSON would take, too."""
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        raise ValueError("must be a whole number in digits, or true or false")
    return value


PLAIN = re.compile(r"-?[0-9]{1,20}|true|false")
Plain = BeforeValidator(_plain)


class Body(BaseModel):
    """A JSON body: integers are integers, and members that we do not know are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")


class Query(BaseModel):
    """A query string; its values are text, so '5' is a number here. Unknown parameters are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Which page of a list: by its number or, at a cost that does not grow, by the cursor of the page before."""

    page: Annotated[int, Plain] = Field(1, ge=1, le=ID_MAX, description="Its number; nothing with `cursor`.")
    size: Annotated[int, Plain] = Field(20, ge=1, le=100, description="How many items a page has.")
    cursor: str | None = Field(
        None, description="To read on at the same cost however far: empty for the first page, then its `next_cursor`."
    )


class MemberError(BaseModel):
    """What is wrong with one member of a request, or with one parameter, at which the pointer points (RFC 6901)."""

    detail: str
    pointer: str


class ProblemOut(BaseModel):
    """Why a request was refused (RFC 9457). Programs look at `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[MemberError] = Field([], description="With VALIDATION_ERROR: what is wrong, and where.")


class ListOf(BaseModel, Generic[T]):
    """One page of a list, and how long the whole list is."""

    items: list[T]
    total: int = Field(description="How many there are; by cursor: how many there were on the first page.")
    page: int
    size: int
    next_cursor: str | None = Field(
        None, description="For who asks with `cursor`: that of the next page, null on the last."
    )


def _checked(lines: bool) -> Any:
    def check(text: str) -> str:
        if problem := problem_in(text, lines=lines):
            raise ValueError(problem)
        return text

    return check


def written(pattern: str) -> Any:
    """How a text must be written, said in the schema alone: what is refused is refused in our own words."""
    return Field(json_schema_extra={"pattern": pattern})


def _tidy(value: Any) -> Any:
    return tidy(value) if isinstance(value, str) else value


def _said(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


# What `problem_in` refuses, for who reads the schema: control characters, and those that were damaged on the way.
CONTROLS = r"\u0000-\u001f\u007f-\u009f\ufffd"
BUT_BREAKS = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffd"
NO_CONTROLS = rf"^[^{CONTROLS}]*$"
SOME_TEXT = rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"
LINES = rf"^[^{BUT_BREAKS}]*$"
SOME_LINES = rf"^[^{BUT_BREAKS}]*[^\s{CONTROLS}][^{BUT_BREAKS}]*$"

Maybe = Annotated[T | None, BeforeValidator(_said)]  # a blank text says nothing
Line = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=False)), written(NO_CONTROLS)]
Lines = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=True)), written(LINES)]
Id = Annotated[int, Field(ge=1, le=ID_MAX)]
