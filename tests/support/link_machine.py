"""The steps of the state machine for links: what visitors start with an address, and what their links do."""

from itertools import count
from typing import Any

from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from bookshop.accounts.login_links import LinkRequest
from bookshop.checkout.service import Checkout
from bookshop.kit.exceptions import BookshopError
from bookshop.people.link_actions import Performed
from bookshop.web import services
from tests.support.clients import ApiClient
from tests.support.databases import rows_of
from tests.support.factories import Shop
from tests.support.model import Link, Model, Reservation, User

VISITORS = ("v1@example.com", "v2@example.com")
BROWSERS = ("laptop", "phone")
LINKS = "SELECT id, used_at IS NOT NULL, used_at IS NULL AND ended_at IS NULL FROM login_links"
MARKS = "SELECT count(*) FROM users WHERE email_confirmed_at IS NULL"


class LinkSteps(RuleBasedStateMachine):
    """The steps of visitors who reserve with an address; the machine adds the others."""

    books: Bundle[int] = Bundle("books")
    links: Bundle[int] = Bundle("links")

    app: Flask
    shop: Shop
    model: Model
    numbers: "count[int]"

    def code_of(self, work: Any) -> Any:
        """Commit a service call; return its result, or the code of its refusal."""
        try:
            return self.shop.commit(work)
        except BookshopError as error:
            return error.code

    @rule(target=links, book=books, visitor=st.integers(0, 3), browser=st.sampled_from(BROWSERS))
    def a_visitor_reserves_with_an_address(self, book: int, visitor: int, browser: str) -> Any:
        email = [*VISITORS, *(user.email for user in self.model.users.values())][visitor]
        self.shop.execute("DELETE FROM attempts")  # as if the last e-mail had been sent long ago
        request = LinkRequest(email, browser)
        answer = self.code_of(lambda: services.link_actions().start_reservation(request, book))
        assert answer == (self.model.refusal_of_book(book) or email)
        return multiple() if answer != email else self.new_link(email, browser, book)

    def new_link(self, email: str, browser: str, book: int) -> Any:
        """Note what was started; return the new link, or none if it joins one of this browser."""
        self.model.started.setdefault((email, browser), set()).add(book)
        open_links = [link for link in self.model.links.values() if link.is_open]
        if any((link.email, link.browser) == (email, browser) for link in open_links):
            return multiple()
        number = self.shop.rows("SELECT max(id) FROM login_links")[0]
        self.model.links[number] = Link(email, browser)
        return number

    @rule(link=links, browser=st.sampled_from(BROWSERS))
    def the_button_of_a_link_is_pressed(self, link: int, browser: str) -> None:
        pressed = self.model.links.get(link)
        if pressed is None:  # its account was deleted
            return
        answer = self.code_of(lambda: self.use(link, {pressed.browser, browser}))
        if not pressed.is_open:
            assert answer == "LINK_NOT_FOUND"
        elif self.model.is_deactivated(pressed.email):
            assert answer == "USER_DEACTIVATED"
        else:
            self.check_what_was_done(pressed, browser, answer)

    def use(self, link: int, browsers: set[str]) -> tuple[int, Performed]:
        links, actions = services.login_links(), services.link_actions()
        used = links.use(links.token_to_send(link))
        started = actions.list_started(used.user.email_key, browsers)
        return used.user.id, actions.perform(used.user, started, started, Checkout())

    def check_what_was_done(self, pressed: Link, browser: str, answer: tuple[int, Performed]) -> None:
        """Check the outcome of each reservation, in the order of the books, and note it."""
        user, performed = answer
        if user not in self.model.users:
            self.model.users[user] = User(pressed.email, ApiClient(self.app, pressed.email))
        assert self.model.users[user].email == pressed.email
        started = self.model.take_started(pressed.email, {pressed.browser, browser})
        assert [outcome.book.id for outcome in performed.reservations] == sorted(started)
        for outcome in performed.reservations:
            status, code = self.model.response_to_reserve(user, outcome.book.id)
            assert (outcome.error.code if outcome.error else None) == code
            if status == 201:
                self.model.reservations[self.newest(user, outcome.book.id)] = Reservation(user, outcome.book.id)
        self.model.end_links(pressed.email)
        pressed.is_used = True

    def newest(self, user: int, book: int) -> int:
        own = "SELECT max(id) FROM prebookings WHERE user_id = :user AND book_id = :book"
        return int(self.shop.rows(own, user=user, book=book)[0])

    @invariant()
    def links_agree_with_the_model_and_every_address_is_confirmed(self) -> None:
        links, [(marks,)] = rows_of(self.app, LINKS, MARKS)
        found = {row[0]: (bool(row[1]), bool(row[2])) for row in links}
        assert found == {n: (link.is_used, link.is_open) for n, link in self.model.links.items()}
        assert marks == 0
