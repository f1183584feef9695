"""What every feature's JSON has in common: strict bodies, text that can be stored, lists with pages."""

from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bookshop.database import ID_MAX
from bookshop.text import problem_in, tidy

T = TypeVar("T")


class Body(BaseModel):
    """A JSON body: integers are integers, and members that we do not know are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")


class Query(BaseModel):
    """A query string; its values are text, so '5' is a number here. Unknown parameters are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Which page of a list."""

    page: int = Field(1, ge=1, le=ID_MAX)
    size: int = Field(20, ge=1, le=100)


class ListOf(BaseModel, Generic[T]):
    """One page of a list, and how long the whole list is."""

    items: list[T]
    total: int
    page: int
    size: int


def _checked(lines: bool) -> Any:
    def check(text: str) -> str:
        if problem := problem_in(text, lines=lines):
            raise ValueError(problem)
        return text

    return check


def _tidy(value: Any) -> Any:
    return tidy(value) if isinstance(value, str) else value


def _said(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Maybe = Annotated[T | None, BeforeValidator(_said)]  # a blank text says nothing
Line = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=False))]
Lines = Annotated[str, BeforeValidator(_tidy), AfterValidator(_checked(lines=True))]
Id = Annotated[int, Field(ge=1, le=ID_MAX)]
