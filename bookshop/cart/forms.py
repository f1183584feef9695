"""The cart's forms, each a quantity field and a button."""

from wtforms.validators import InputRequired

from bookshop.extensions import settings
from bookshop.kit.database import ID_MAX
from bookshop.kit.exceptions import Invalid, book_not_found
from bookshop.web.forms import ShopForm, WholeNumberField, readable


class CopiesForm(ShopForm):
    """The new number of copies of a book in the cart; 0 removes it."""

    least = 0
    quantity = WholeNumberField(validators=[InputRequired(), readable])

    def copies(self) -> int:
        """Return the number of copies; raises Invalid if it is not a number from `least` up."""
        if self.validate() and self.quantity.data >= self.least:
            return int(self.quantity.data)
        typed = "".join(self.quantity.raw_data or [])[:20]
        expected = f"a whole number from {self.least} to {settings().cart_copies}"
        raise Invalid(f"“{typed}” is not a number of copies. Enter {expected}.", "quantity")


class AddForm(CopiesForm):
    """A book to add to the cart, and the number of copies: 1 by default."""

    least = 1
    book_id = WholeNumberField()
    quantity = WholeNumberField(default=1, validators=[readable])

    def book(self) -> int:
        """Return the id of the book; raises NotFound if it is not a possible id."""
        if self.book_id.data is None or not 0 < self.book_id.data <= ID_MAX:
            raise book_not_found()
        return int(self.book_id.data)
