"""The shape of the cart's forms, which are a field and a button."""

from wtforms.validators import InputRequired

from bookshop.extensions import settings
from bookshop.kit.database import ID_MAX
from bookshop.kit.exceptions import Invalid, book_not_found
from bookshop.web.forms import ShopForm, WholeNumberField, readable


class CopiesForm(ShopForm):
    """How many copies of a book somebody wants; none takes it out of the cart."""

    least = 0
    quantity = WholeNumberField(validators=[InputRequired(), readable])

    def copies(self) -> int:
        """How many copies; raises Invalid for what is no such number."""
        if self.validate() and self.quantity.data >= self.least:
            return int(self.quantity.data)
        typed = "".join(self.quantity.raw_data or [])[:20]
        wanted = f"a whole number from {self.least} to {settings().cart_copies}"
        raise Invalid(f"“{typed}” is not a number of copies. Please enter {wanted}.", "quantity")


class AddForm(CopiesForm):
    """A book to put into the cart, and how many copies of it: one unless it is said."""

    least = 1
    book_id = WholeNumberField()
    quantity = WholeNumberField(default=1, validators=[readable])

    def book(self) -> int:
        """The id of the book; raises NotFound for what can be none."""
        if self.book_id.data is None or not 0 < self.book_id.data <= ID_MAX:
            raise book_not_found()
        return int(self.book_id.data)
